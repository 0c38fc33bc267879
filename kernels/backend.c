/* Opens a backend by name; loads the CUDA shared object and checks that it is of this build. */
#include "kernels/backend.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const library = "libfoldmill_cuda.so";
static const struct backend_abi abi_here = BACKEND_ABI_HERE;

bool backend_cuda_present(void)
{
    return access("/dev/nvidiactl", R_OK | W_OK) == 0;
}

/* path[PATH_MAX] = relative path under the folder of the running program. */
static bool beside_program(char *path, const char *relative)
{
    char program[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", program, sizeof program - 1);
    if (size <= 0)
        return false;
    program[size] = 0;
    char *slash = strrchr(program, '/');
    if (!slash)
        return false;
    *slash = 0;
    int length = snprintf(path, PATH_MAX, "%s/%s%s", program, relative, library);
    return length > 0 && length < PATH_MAX && access(path, R_OK) == 0;
}

static enum status abi_check(const char *path, const struct backend_abi *found, struct error *err)
{
    if (!found)
        return error_set(err, STATUS_CORRUPT, "%s: has no foldmill_cuda_abi; build it again", path);
    if (found->abi != abi_here.abi)
        return error_set(err, STATUS_CORRUPT,
                         "%s: wanted backend abi %u, found %u; build program and library together",
                         path, abi_here.abi, found->abi);
    if (found->tensor_bytes != abi_here.tensor_bytes || found->ops_bytes != abi_here.ops_bytes ||
        found->backend_bytes != abi_here.backend_bytes ||
        strcmp(found->ops_text, abi_here.ops_text) != 0)
        return error_set(err, STATUS_CORRUPT,
                         "%s: its op table differs from the program's; build both together", path);
    return STATUS_OK;
}

/* The shared object and its function of that name. */
static enum status cuda_find(const char *name, void **object, void **function, struct error *err)
{
    char path[PATH_MAX];
    if (!beside_program(path, "") && !beside_program(path, "../lib/foldmill/") &&
        !beside_program(path, "../"))
        return error_set(err, STATUS_MISS,
                         "%s is neither beside the program nor in ../lib/foldmill or ..; build it "
                         "with nvcc in the path",
                         library);
    *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!*object)
        return error_set(err, STATUS_MISS, "%s: cannot be loaded: %s", path, dlerror());
    enum status status =
        abi_check(path, (const struct backend_abi *)dlsym(*object, "foldmill_cuda_abi"), err);
    *function = status == STATUS_OK ? dlsym(*object, name) : NULL;
    if (status == STATUS_OK && !*function)
        status = error_set(err, STATUS_CORRUPT, "%s: has no %s", path, name);
    if (status != STATUS_OK)
        dlclose(*object);
    return status;
}

static enum status cuda_open(int device, struct backend **backend, struct error *err)
{
    void *object, *symbol;
    if (!backend_cuda_present())
        return error_set(err, STATUS_MISS,
                         "no CUDA device: /dev/nvidiactl cannot be opened; use the cpu backend");
    enum status (*open)(int, struct backend **, struct error *);
    enum status status = cuda_find("foldmill_cuda_open", &object, &symbol, err);
    if (status != STATUS_OK)
        return status;
    memcpy(&open, &symbol, sizeof open);
    status = open(device, backend, err);
    if (status != STATUS_OK)
        dlclose(object); /* an open backend keeps the object for the life of the process */
    return status;
}

enum status cuda_backend_open_counting(struct backend **backend, struct error *err)
{
    void *object, *symbol;
    enum status (*open)(struct backend **, struct error *);
    enum status status = cuda_find("foldmill_cuda_count", &object, &symbol, err);
    if (status != STATUS_OK)
        return status;
    memcpy(&open, &symbol, sizeof open);
    return open(backend, err);
}

enum status backend_open(const char *name, int device, struct backend **backend,
                         struct error *err)
{
    *backend = NULL;
    bool automatic = strcmp(name, "auto") == 0;
    if (strcmp(name, "cuda") == 0 || automatic) {
        enum status status = cuda_open(device, backend, err);
        if (status != STATUS_MISS || !automatic)
            return status;
    } else if (strcmp(name, "cpu") != 0) {
        return error_set(err, STATUS_INVALID, "backend \"%s\": wanted cpu, cuda or auto", name);
    }
    *backend = cpu_backend_open(0);
    return STATUS_OK;
}
