/* Devices and their libraries, opened at run time (nothing is linked); see doctor.h. */
#include "engine/doctor.h"

#include <dlfcn.h>
#include <string.h>

typedef int driver_version_fn(int *version);
typedef int init_fn(unsigned flags);
typedef int count_fn(int *count);
typedef int error_text_fn(int error, const char **text);

/* What a symbol of a library is, as a function. */
static void *symbol(void *library, const char *name, void *function, size_t size)
{
    void *address = dlsym(library, name);
    memcpy(function, &address, size);
    return address;
}

static void measure_driver(struct doctor_facts *facts)
{
    driver_version_fn *version;
    init_fn *init;
    count_fn *count;
    error_text_fn *text;
    const char *reason = NULL;
    void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return;
    if (symbol(library, "cuDriverGetVersion", &version, sizeof version))
        version(&facts->driver_version);
    if (symbol(library, "cuInit", &init, sizeof init))
        facts->gpu_error = init(0);
    if (facts->gpu_error == 0 && symbol(library, "cuDeviceGetCount", &count, sizeof count))
        facts->gpu_error = count(&facts->gpu_count);
    if (facts->gpu_error && symbol(library, "cuGetErrorString", &text, sizeof text) &&
        text(facts->gpu_error, &reason) == 0 && reason)
        snprintf(facts->gpu_error_text, sizeof facts->gpu_error_text, "%s", reason);
    /* (The library stays: drivers do not like to be unloaded.) */
}

void doctor_measure_gpu(struct doctor_facts *facts)
{
    measure_driver(facts);
    count_fn *version;
    Dl_info info;
    void *library = dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
    if (!library || !symbol(library, "ncclGetVersion", &version, sizeof version))
        return;
    version(&facts->nccl_version);
    void *address;
    memcpy(&address, &version, sizeof address);
    if (dladdr(address, &info) && info.dli_fname)
        snprintf(facts->nccl_path, sizeof facts->nccl_path, "%s", info.dli_fname);
}
