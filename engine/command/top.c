/* foldmill top: what a running engine does, drawn again every second. */
#include "engine/command.h"
#include "engine/control.h"
#include "engine/snapshot.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

struct screen {
    bool terminal; /* it can be drawn on */
    bool keys;     /* and keys can be read one by one */
    struct termios before;
    int signals;
};

/* The signals that end it are read, so that the terminal is always put back. */
static void screen_open(struct screen *screen)
{
    const char *kind = getenv("TERM");
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    screen->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    screen->terminal = isatty(1) && kind && strcmp(kind, "dumb") != 0;
    screen->keys = screen->terminal && tcgetattr(0, &screen->before) == 0;
    if (screen->keys) {
        struct termios raw = screen->before;
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        raw.c_cc[VMIN] = 0;
        raw.c_cc[VTIME] = 0;
        tcsetattr(0, TCSANOW, &raw);
    }
    if (screen->terminal)
        fputs("\033[?25l\033[2J", stdout); /* no cursor, an empty screen */
}

static void screen_close(const struct screen *screen)
{
    if (screen->terminal)
        fputs("\033[?25h\n", stdout);
    if (screen->keys)
        tcsetattr(0, TCSANOW, &screen->before);
    fflush(stdout);
    close(screen->signals);
}

/* One picture, cut to the screen; elsewhere a block of lines. False: nobody reads any more. */
static bool draw(const struct screen *screen, const struct snapshot *snapshot)
{
    struct winsize size = {0};
    char *text = NULL;
    size_t bytes = 0;
    struct span rest, line;
    if (screen->terminal && ioctl(1, TIOCGWINSZ, &size))
        size = (struct winsize){0};
    FILE *memory = open_memstream(&text, &bytes);
    ASSERT(memory);
    snapshot_print(snapshot, size.ws_col, memory);
    fclose(memory);
    rest = (struct span){text, bytes};
    if (screen->terminal)
        fputs("\033[H", stdout);
    for (int row = 1; span_line(&rest, &line); row++) {
        if (screen->terminal && size.ws_row && row >= size.ws_row)
            break;
        printf("%.*s%s\n", (int)line.size, line.data, screen->terminal ? "\033[K" : "");
    }
    fputs(screen->terminal ? "\033[J" : "\n", stdout);
    free(text);
    return fflush(stdout) == 0;
}

/* Waits; true when a key or a signal said to leave. */
static bool wait_for_leave(const struct screen *screen, int wait_ms)
{
    struct pollfd polls[] = {{.fd = screen->signals, .events = POLLIN},
                             {.fd = screen->keys ? 0 : -1, .events = POLLIN}};
    char key = 0;
    if (poll(polls, 2, wait_ms) <= 0)
        return false;
    if (polls[0].revents)
        return true;
    return polls[1].revents && (read(0, &key, 1) != 1 || key == 'q' || key == 'Q' || key == 4);
}

static int watch(const char *path, int every_ms, int64_t times)
{
    static const char *const words[] = {"status"};
    static struct snapshot snapshot;
    struct error err = {0};
    struct screen screen;
    struct span answer;
    struct arena arena;
    bool seen = false, leave = false;
    enum status status = STATUS_OK;
    arena_open(&arena, 0);
    for (int64_t turn = 0; !leave && (times == 0 || turn < times); turn++) {
        arena_reset(&arena);
        status = control_ask(path, words, 1, &arena, &answer, &err);
        if (status == STATUS_OK)
            status = snapshot_read(answer, &snapshot, &err);
        if (status != STATUS_OK && status != STATUS_BUSY)
            break;
        if (!seen)
            screen_open(&screen);
        seen = true;
        if (status == STATUS_OK)
            leave = !draw(&screen, &snapshot);
        if (!leave && turn + 1 != times)
            leave = wait_for_leave(&screen, every_ms);
    }
    if (seen)
        screen_close(&screen);
    arena_close(&arena);
    if (seen && (status == STATUS_MISS || status == STATUS_OK || status == STATUS_BUSY)) {
        if (status == STATUS_MISS)
            printf("the engine has ended\n");
        return EXIT_GOOD;
    }
    fprintf(stderr, "foldmill top: %s\n", err.text);
    return EXIT_FAILED;
}

static int top_run(int argc, char **argv)
{
    struct error err = {0};
    char path[PATH_MAX];
    int64_t every_ms = 1000, times = 0;
    const char *every = command_option(&argc, argv, "every");
    const char *count = command_option(&argc, argv, "times");
    if (!command_rest(&command_top, argc, argv, 0, 1))
        return EXIT_USAGE;
    if (every &&
        (!text_duration(span_of(every), &every_ms) || every_ms < 100 || every_ms > 3600 * 1000)) {
        fprintf(stderr, "foldmill top: --every wants a time from 100ms to 1h, not '%s'\n", every);
        return EXIT_USAGE;
    }
    if (count && !text_int(span_of(count), 1, INT32_MAX, &times)) {
        fprintf(stderr, "foldmill top: --times wants a number from 1 on, not '%s'\n", count);
        return EXIT_USAGE;
    }
    if (control_find_run(argv[1], path, &err) != STATUS_OK) {
        fprintf(stderr, "foldmill top: %s\n", err.text);
        return EXIT_USAGE;
    }
    return watch(path, (int)every_ms, times);
}

const struct command command_top = {
    .name = "top",
    .summary = "shows what a running engine does, every second",
    .help =
        "usage: foldmill top [RUN] [--every TIME] [--times N]\n\n"
        "The table of foldmill status, of all nodes, drawn again every second until the engine\n"
        "ends; q or Ctrl-C leaves. Where the output is no terminal, or a dumb one, it prints one\n"
        "table after another.\n\n"
        "  --every TIME  time between two pictures: 500ms, 10s; the default is 1s\n"
        "  --times N     leaves after N pictures\n\n"
        "Exit code 0: left, or the engine has ended; 1: no engine runs; 2: there is no run.\n",
    .run = top_run,
};
