/* The stage exec: programs that do well, and every way in which one can go wrong. */
#include "tests/stages/crops.h"
#include "tests/stages/outside.h"

#include "engine/base/clock.h"
#include "engine/runner.h"

extern const struct stage stage_exec;

TestSuite(exec, .init = outside_begin, .fini = outside_end, .timeout = 60);

/* Speaks the protocol; its first argument says what it does with samples. */
static const char script[] =
    "#!/usr/bin/env python3\n"
    "import io, os, sys, time\n"
    "import numpy as np\n"
    "mode = sys.argv[1]\n"
    "def send(tag, content=b''):\n"
    "    sys.stdout.buffer.write(tag + len(content).to_bytes(8, 'little') + content)\n"
    "    sys.stdout.buffer.flush()\n"
    "def fields(**arrays):\n"
    "    packed = io.BytesIO()\n"
    "    np.savez(packed, **arrays)\n"
    "    send(b'SMPL', packed.getvalue())\n"
    "count = 0\n"
    "while True:\n"
    "    head = sys.stdin.buffer.read(12)\n"
    "    if len(head) < 12:\n"
    "        break\n"
    "    content = sys.stdin.buffer.read(int.from_bytes(head[4:], 'little'))\n"
    "    if head[:4] == b'HELO':\n"
    "        if mode == 'stranger':\n"
    "            send(b'HELO', b'something else\\n')\n"
    "        elif mode == 'mute':\n"
    "            sys.exit(4)\n"
    "        else:\n"
    "            send(b'HELO', b'foldmill-exec 1\\n')\n"
    "        continue\n"
    "    sample = np.load(io.BytesIO(content))\n"
    "    count += 1\n"
    "    n = np.int32(len(sample['numbers']))\n"
    "    if mode == 'good':\n"
    "        key = bytes(sample['__key__']).decode()\n"
    "        fields(doubled=2 * sample['numbers'], count=np.int32(count),\n"
    "               names=np.frombuffer((key + ' ' + ' '.join(sorted(sample))).encode(), "
    "np.uint8))\n"
    "    elif mode == 'refuse':\n"
    "        send(b'REFU', b'it has a knot')\n"
    "    elif mode == 'silent':\n"
    "        send(b'REFU')\n"
    "    elif mode == 'bytes':\n"
    "        fields(**{'doubled:i32\\0' + 60 * 'x': n})\n"
    "    elif mode == 'drop':\n"
    "        send(b'DROP')\n"
    "    elif mode == 'die':\n"
    "        sys.stderr.write('out of ideas\\n')\n"
    "        os._exit(7)\n"
    "    elif mode == 'crash':\n"
    "        os.kill(os.getpid(), 11)\n"
    "    elif mode == 'hang':\n"
    "        time.sleep(100)\n"
    "    elif mode == 'half':\n"
    "        sys.stdout.buffer.write(b'SMPL' + (1000).to_bytes(8, 'little') + b'half')\n"
    "        sys.stdout.buffer.flush()\n"
    "        os._exit(0)\n"
    "    elif mode == 'garbage':\n"
    "        sys.stdout.buffer.write(b'reading sample number one...\\n' * 100)\n"
    "        sys.stdout.buffer.flush()\n"
    "    elif mode == 'huge':\n"
    "        sys.stdout.buffer.write(b'SMPL' + (1 << 50).to_bytes(8, 'little'))\n"
    "        sys.stdout.buffer.flush()\n"
    "    elif mode == 'tag':\n"
    "        send(b'WHAT')\n"
    "    elif mode == 'noise':\n"
    "        send(b'SMPL', b'no archive at all')\n"
    "    elif mode == 'extra':\n"
    "        fields(doubled=n, surprise=n)\n"
    "    elif mode == 'type':\n"
    "        fields(doubled=np.zeros(3))\n"
    "    elif mode == 'shape':\n"
    "        fields(doubled=np.zeros((2, 2), np.int32), count=n, names=np.zeros(1, np.uint8))\n"
    "    elif mode == 'less':\n"
    "        fields(count=n)\n";

static struct stage_context context;
static struct runner runner;

static enum status open_mode(const char *mode, const char *more)
{
    static const char adds[] = "adds: \"doubled:i32[N] count:i32, names:u8[T]\"";
    context = (struct stage_context){.name = "mine", .seed = 5, .arena = &arena};
    const struct param_roots roots = {.graph = "/"};
    struct complaints complaints;
    struct source_text *text = arena_zero(&arena, 1, sizeof *text);
    char *state = arena_zero(&arena, 1, stage_exec.state_size);
    *text = (struct source_text){
        .name = "test",
        .text = span_of(
            arena_printf(&arena, "{program: speaker, arguments: %s, %s%s}", mode, adds, more))};
    complaints_open(&complaints, &arena);
    struct yaml_node *node = yaml_parse(text, &arena, &complaints);
    params_fill(stage_exec.params, state, node, &roots, (struct place){text, 1, 1, 1}, &arena,
                &complaints);
    cr_assert(complaints.count == 0);
    return runner_open(&runner, &stage_exec, state, &context, &err);
}

static enum status feed(struct sample *out)
{
    struct sample in;
    struct work work = {0};
    cr_assert(sample_open(&in, SPAN("1abc_A"), &err) == STATUS_OK);
    int32_t *numbers = sample_add_1(&in, &arena, "numbers", KIND_I32, 3);
    for (int i = 0; i < 3; i++)
        numbers[i] = i + 1;
    sample_add_f32(&in, &arena, "other", 2.5f);
    return runner_feed(&runner, &work, &in, out, &arena, &err);
}

Test(exec, a_good_program_adds_its_fields_and_lives_on)
{
    struct sample out;
    outside_program("speaker", script);
    cr_assert(open_mode("good", "") == STATUS_OK, "%s", err.text);
    for (int round = 1; round <= 3; round++) {
        cr_assert(feed(&out) == STATUS_OK, "%s", err.text);
        const int32_t *doubled = sample_find(&out, "doubled")->data;
        cr_assert(doubled[0] == 2 && doubled[1] == 4 && doubled[2] == 6);
        cr_assert(*(const int32_t *)sample_find(&out, "count")->data == round, "the same process");
        cr_assert(span_is(sample_text(&out, "names"), "1abc_A __key__ numbers other"));
        cr_assert(sample_find(&out, "other"), "what it does not touch goes on");
    }
    runner_close(&runner);
    cr_assert(open_mode("good", ", sends: numbers") == STATUS_OK, "%s", err.text);
    cr_assert(feed(&out) == STATUS_OK, "%s", err.text);
    cr_assert(span_is(sample_text(&out, "names"), "1abc_A __key__ numbers"));
    runner_close(&runner);
}

Test(exec, refusals_and_drops_are_the_sample_s)
{
    struct sample out;
    outside_program("speaker", script);
    cr_assert(open_mode("refuse", "") == STATUS_OK && feed(&out) == STATUS_REFUSED &&
                  strstr(err.text, "speaker: it has a knot"),
              "%s", err.text);
    runner_close(&runner);
    cr_assert(open_mode("silent", "") == STATUS_OK && feed(&out) == STATUS_REFUSED &&
                  strstr(err.text, "without a reason"),
              "%s", err.text);
    runner_close(&runner);
    cr_assert(open_mode("drop", "") == STATUS_OK && feed(&out) == STATUS_EMPTY);
    runner_close(&runner);
}

Test(exec, everything_else_is_an_error_and_the_next_sample_gets_a_new_process)
{
    static const struct {
        const char *mode, *word;
        enum status status;
    } cases[] = {
        {"mute", "exit code 4", STATUS_IO},
        {"stranger", "something else", STATUS_INVALID},
        {"die", "exit code 7", STATUS_IO},
        {"crash", "signal 11", STATUS_IO},
        {"half", "exit code 0", STATUS_IO},
        {"garbage", "nothing else on standard output", STATUS_INVALID},
        {"huge", "are the most", STATUS_LIMIT},
        {"tag", "\"WHAT\"", STATUS_INVALID},
        {"noise", "speaker", STATUS_INVALID},
        {"bytes", "`adds` does not name", STATUS_INVALID},
        {"extra", "surprise, which `adds` does not name", STATUS_INVALID},
        {"type", "float32", STATUS_INVALID},
        {"shape", "doubled", STATUS_INVALID},
        {"less", "doubled", STATUS_INVALID},
        {"hang", "more than 1.0 s", STATUS_LIMIT},
    };
    struct sample out;
    outside_program("speaker", script);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool hang = strcmp(cases[i].mode, "hang") == 0;
        cr_assert(open_mode(cases[i].mode, hang ? ", time_max: 1s" : "") == STATUS_OK, "%s",
                  err.text);
        for (int again = 0; again < 2; again++) {
            enum status status = feed(&out);
            cr_assert(status == cases[i].status && strstr(err.text, cases[i].word), "%s: %s, %s",
                      cases[i].mode, status_name(status), err.text);
        }
        int64_t from = clock_ms();
        runner_close(&runner);
        cr_assert(clock_ms() - from < 8000, "%s does not end", cases[i].mode);
    }
}

Test(exec, programs_come_from_allowed_folders_alone)
{
    static const struct {
        const char *name, *word;
    } bad[] = {{"/bin/sh", "--programs DIR"},
               {"../speaker", "--programs DIR"},
               {"nothing", "there is no nothing"},
               {"", "--programs"}};
    char path[PATH_MAX];
    outside_program("speaker", script);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert(programs_find(bad[i].name, path, &err) == STATUS_INVALID &&
                      strstr(err.text, bad[i].word),
                  "%s", err.text);
    cr_assert(programs_find("speaker", path, &err) == STATUS_OK && strstr(path, "/speaker"));
    outside_file("text", "no program\n");
    cr_assert(programs_find("text", path, &err) == STATUS_INVALID && strstr(err.text, "chmod +x"),
              "%s", err.text);
    cr_assert(chmod(outside_program("open", "#!/bin/sh\n"), 0777) == 0);
    cr_assert(programs_find("open", path, &err) == STATUS_INVALID && strstr(err.text, "chmod go-w"),
              "%s", err.text);
    cr_assert(chmod(folder, 0777) == 0);
    cr_assert(programs_find("speaker", path, &err) == STATUS_INVALID &&
                  strstr(err.text, "others may change that folder"),
              "%s", err.text);
    cr_assert(chmod(folder, 0700) == 0);
    programs_allow("/nowhere:/usr/bin");
    cr_assert(programs_find("env", path, &err) == STATUS_OK, "%s", err.text);
    programs_allow(NULL);
    cr_assert(programs_find("speaker", path, &err) == STATUS_INVALID &&
                  strstr(err.text, "say --programs DIR"),
              "%s", err.text);
}
