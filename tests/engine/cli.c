/* The command line as a person meets it: help everywhere, suggestions, exit codes. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char output[65536];

/* Runs foldmill with these arguments; its exit code, both outputs in `output`. */
static int run(const char *arguments)
{
    char command[1024];
    snprintf(command, sizeof command, "%s %s 2>&1", FOLDMILL_BINARY, arguments);
    FILE *pipe = popen(command, "r");
    cr_assert(pipe);
    size_t size = fread(output, 1, sizeof output - 1, pipe);
    output[size] = 0;
    int code = pclose(pipe);
    cr_assert(WIFEXITED(code), "%s was killed", command);
    return WEXITSTATUS(code);
}

Test(cli, help_stands_everywhere)
{
    static const char *const commands[] = {"run",    "validate", "stages", "schema",  "store",
                                           "replay", "why",      "doctor", "audit",   "status",
                                           "top",    "scale",    "drain",  "requeue", "keys",
                                           "profile"};
    cr_assert(run("") == 2 && strstr(output, "usage: foldmill COMMAND"));
    cr_assert(run("--help") == 0);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        cr_assert(strstr(output, commands[i]), "%s is not listed:\n%s", commands[i], output);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        char arguments[64], usage[64];
        snprintf(arguments, sizeof arguments, "%s --help", commands[i]);
        snprintf(usage, sizeof usage, "usage: foldmill %s", commands[i]);
        cr_assert(run(arguments) == 0 && strstr(output, usage), "%s:\n%s", arguments, output);
    }
    cr_assert(run("--version") == 0 && strncmp(output, "foldmill ", 9) == 0);
    cr_assert(run("--help") == 0 && !strstr(output, "work "),
              "the engine's own commands are hidden");
}

Test(cli, wrong_use_says_what_is_right_and_exits_2)
{
    cr_assert(run("vaildate") == 2 && strstr(output, "did you mean 'validate'?"), "%s", output);
    cr_assert(run("zzz") == 2 && strstr(output, "foldmill --help"), "%s", output);
    cr_assert(run("validate") == 2 && strstr(output, "an argument is missing"), "%s", output);
    cr_assert(run("validate a b") == 2 && strstr(output, "too many arguments"), "%s", output);
    cr_assert(run("validate --frob a") == 2 && strstr(output, "unknown option '--frob'"), "%s",
              output);
    cr_assert(run("validate a --set") == 2 && strstr(output, "--set wants a value"), "%s", output);
    cr_assert(run("validate /nowhere.yaml") == 2 && strstr(output, "/nowhere.yaml"), "%s", output);
    cr_assert(run("run /nowhere.yaml") == 2 && strstr(output, "/nowhere.yaml"), "%s", output);
    cr_assert(run("validate --roel gpu a") == 2 && strstr(output, "did you mean '--role'?"), "%s",
              output);
    cr_assert(run("run a --quite") == 2 && strstr(output, "did you mean '--quiet'?"), "%s", output);
    cr_assert(run("stages corp") == 2 && strstr(output, "did you mean 'crop'?"), "%s", output);
    cr_assert(
        run("validate " FOLDMILL_SOURCE "/graphs/demo.yaml --set crop.lenght=3") == 2 &&
            strstr(output, "--set:1:1: error: unknown setting 'lenght'; did you mean 'length'?"),
        "%s", output);
    cr_assert(run("validate " FOLDMILL_SOURCE "/graphs/demo.yaml --role gpu") == 2 &&
                  strstr(output, "no stage of the graph says `on: gpu`"),
              "%s", output);
    cr_assert(run("validate a --gpu much") == 2 && strstr(output, "wanted 80GiB or so"), "%s",
              output);
    cr_assert(run("stages zzz") == 2 && strstr(output, "no stage 'zzz'"), "%s", output);
    cr_assert(run("store ls /nowhere") != 0 && strstr(output, "/nowhere"), "%s", output);
    cr_assert(run("replay /nowhere --step 1") != 0 && strstr(output, "say which run"), "%s",
              output);
}

Test(cli, good_use_exits_0)
{
    cr_assert(run("validate " FOLDMILL_SOURCE "/graphs/demo.yaml") == 0);
    cr_assert(strstr(output, "line train") && strstr(output, "network of"), "%s", output);
    cr_assert(run("validate " FOLDMILL_SOURCE "/graphs/demo.yaml --set crop.workers=3") == 0);
    cr_assert(run("stages") == 0 && strstr(output, "evaluate"));
    cr_assert(run("stages crop") == 0 && strstr(output, "default 0.15"), "%s", output);
    cr_assert(run("schema") == 0 && output[0] == '{');
}

/* Of the demo's network. What is advised is then taken. */
Test(cli, a_network_that_does_not_fit_is_refused_with_what_would)
{
    const char *demo = "validate " FOLDMILL_SOURCE "/graphs/demo.yaml --set train.memory=";
    char arguments[512], length[16] = "";
    snprintf(arguments, sizeof arguments, "%s1GiB", demo);
    cr_assert(run(arguments) == 0, "%s", output);
    cr_assert(strstr(output, "three quarters of 1.0 GiB, its `memory`") &&
                  strstr(output, "2 of 2 blocks keep their activations") &&
                  strstr(output, "moving average of the weights") && strstr(output, "together"),
              "%s", output);
    snprintf(arguments, sizeof arguments, "%s24MiB", demo);
    cr_assert(run(arguments) == 2 &&
                  strstr(output, "train cannot run so: within three quarters of 24.0 MiB"),
              "%s", output);
    const char *said = strstr(output, "this would fit: crops of length ");
    cr_assert(said && sscanf(said, "this would fit: crops of length %15[0-9]", length) == 1, "%s",
              output);
    snprintf(arguments, sizeof arguments, "%s24MiB --set crop.length=%s", demo, length);
    cr_assert(run(arguments) == 0, "%s: %s", length, output);
    snprintf(arguments, sizeof arguments, "run %s/graphs/demo.yaml --run /tmp/foldmill-cli-small "
             "--set train.memory=24MiB", FOLDMILL_SOURCE);
    cr_assert(run(arguments) != 0 &&
                  strstr(output, "train cannot run so: within three quarters of 24.0 MiB"),
              "%s", output);
    cr_assert(system("rm -r /tmp/foldmill-cli-small") == 0);
}

Test(cli, keys)
{
    char folder[] = "/tmp/foldmill-cli-keys-XXXXXX", arguments[128];
    cr_assert(mkdtemp(folder), "no folder");
    snprintf(arguments, sizeof arguments, "keys %s/k", folder);
    cr_assert(run(arguments) == 0 && strstr(output, "head, sink and worker"), "%s", output);
    cr_assert(run(arguments) == 2 && strstr(output, "--force"), "%s", output);
    snprintf(arguments, sizeof arguments, "keys --check %s/k", folder);
    cr_assert(run(arguments) == 0, "%s", output);
    snprintf(arguments, sizeof arguments, "%s/k/head.key", folder);
    cr_assert(chmod(arguments, 0644) == 0, "chmod");
    snprintf(arguments, sizeof arguments, "keys --check %s/k", folder);
    cr_assert(run(arguments) == 1 && strstr(output, "chmod 600"), "%s", output);
    cr_assert(!strstr(output, "secret"), "%s", output);
    snprintf(arguments, sizeof arguments, "keys --force %s/k", folder);
    cr_assert(run(arguments) == 0, "%s", output);
    cr_assert(run("keys") == 2 && strstr(output, "an argument is missing"), "%s", output);
    snprintf(arguments, sizeof arguments, "rm -r %s", folder);
    cr_assert(system(arguments) == 0, "%s", arguments);
}

Test(cli, profile_measures_a_graphs_training_step)
{
    const char *graph = FOLDMILL_SOURCE "/graphs/demo.yaml";
    char arguments[512];
    snprintf(arguments, sizeof arguments, "profile %s --steps 2 --crop 16 --threads 1", graph);
    cr_assert(run(arguments) == 0, "%s", output);
    cr_assert(strstr(output, "16 residues") && strstr(output, "Evoformer: row attention") &&
                  strstr(output, "optimizer") && strstr(output, "layer_norm"),
              "%s", output);
    const char *step = strstr(output, "\nstep ");
    double calls, forward, backward, share;
    cr_assert(step && sscanf(step, " step %lf %lf %lf %lf", &calls, &forward, &backward,
                             &share) == 4);
    cr_assert(calls > 50 && share > 99.9 && share < 100.1, "the rows add up to the step: %s", step);
    snprintf(arguments, sizeof arguments, "profile %s --steps 1 --crop 16 --json", graph);
    cr_assert(run(arguments) == 0 && strncmp(output, "{\n", 2) == 0 &&
                  strstr(output, "\"modules\": [") && strstr(output, "\"ops\": ["),
              "%s", output);
    snprintf(arguments, sizeof arguments, "profile %s --steps no", graph);
    cr_assert(run(arguments) == 2 && strstr(output, "--steps wants a number"), "%s", output);
    snprintf(arguments, sizeof arguments, "profile %s --backend tpu", graph);
    cr_assert(run(arguments) == 2 && strstr(output, "wanted cpu, cuda or auto"), "%s", output);
    snprintf(arguments, sizeof arguments, "profile %s/graphs/features.yaml", FOLDMILL_SOURCE);
    cr_assert(run(arguments) == 2 && strstr(output, "no stage of the graph trains"), "%s", output);
}
