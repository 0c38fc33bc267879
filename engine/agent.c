/* An agent's words to a dispatcher; see agent.h. */
#include "engine/agent.h"

#include "engine/base/clock.h"
#include "engine/post.h"

#include <stdio.h>
#include <string.h>

static void say_hello(struct agent *agent)
{
    unsigned char bytes[HELLO_BYTES_MAX];
    struct hello hello = {.role = PEER_AGENT,
                          .version = MESSAGE_VERSION,
                          .graph_hash = agent->graph_hash,
                          .node = agent->node};
    struct message message = {.type = agent->welcome ? MESSAGE_HB : MESSAGE_HELLO,
                              .peer = LINK_HUB,
                              .job = agent->job,
                              .inc = agent->inc};
    if (!agent->welcome) {
        message.payload = bytes;
        message.size = (uint32_t)hello_encode(&hello, bytes);
    }
    post_send(agent->hub, &message);
    agent->hello_ms = clock_ms();
}

static void say_died(struct agent *agent, struct agent_died *row)
{
    unsigned char bytes[DIED_BYTES_MAX];
    struct message message = {.type = MESSAGE_DIED,
                              .peer = LINK_HUB,
                              .job = agent->job,
                              .inc = row->inc,
                              .payload = bytes};
    message.size = (uint32_t)died_encode(&row->died, bytes);
    row->said_ms = clock_ms();
    post_send(agent->hub, &message);
}

static void take_message(struct agent *agent, const struct message *message)
{
    if (message->type == MESSAGE_WELCOME) {
        agent->welcome = true;
    } else if (message->type == MESSAGE_CHALLENGE) {
        agent->welcome = false;
        say_hello(agent);
    } else if (message->type == MESSAGE_REFUSE) {
        snprintf(agent->refused, sizeof agent->refused, "%.*s", (int)message->size,
                 (const char *)message->payload);
    } else if (message->type == MESSAGE_DIEDOK) {
        for (int i = 0; i < AGENT_DIED_MAX; i++)
            if (agent->died[i].waiting && agent->died[i].inc == message->inc)
                agent->died[i].waiting = false;
    }
}

void agent_turn(struct agent *agent)
{
    struct link_message raw;
    struct message message;
    uint64_t bad = 0;
    int64_t now = clock_ms();
    while (post_receive(agent->hub, &raw, &message, &bad) == STATUS_OK) {
        take_message(agent, &message);
        link_message_close(&raw);
    }
    if (now - agent->hello_ms >= (agent->welcome ? AGENT_HB_MS : AGENT_HELLO_MS))
        say_hello(agent);
    for (int i = 0; i < AGENT_DIED_MAX; i++)
        if (agent->died[i].waiting && now - agent->died[i].said_ms >= AGENT_DIED_MS)
            say_died(agent, &agent->died[i]);
}

static enum cause cause_of(const struct death *death)
{
    if (!death->blamed)
        return CAUSE_LOST;
    if (death->verdict == VERDICT_TIMEOUT)
        return CAUSE_TIMEOUT;
    return death->verdict == VERDICT_MEMORY || death->out_of_memory ? CAUSE_MEMORY : CAUSE_CRASH;
}

void agent_tell(struct agent *agent, const struct death *death, const char *text)
{
    struct agent_died *row = NULL;
    for (int i = 0; i < AGENT_DIED_MAX && !row; i++)
        if (!agent->died[i].waiting)
            row = &agent->died[i];
    if (!row)
        return; /* silence tells the dispatcher too, only later */
    char line[512];
    *row = (struct agent_died){.inc = death->inc, .waiting = true};
    row->died = (struct died){.cause = cause_of(death),
                              .executing = death->executing,
                              .line = (uint16_t)death->line,
                              .stage = (uint16_t)death->stage,
                              .item = {death->seq, death->gen, death->attempt}};
    const char *words = agent_last_words(death->tail, line);
    snprintf(row->died.text, sizeof row->died.text, "%.120s%s%.120s", text, *words ? ": " : "",
             words);
    say_died(agent, row);
}

void agent_describe(const struct death *death, char *text, size_t size)
{
    int used;
    if (death->verdict == VERDICT_TIMEOUT)
        used = snprintf(text, size, "took longer than its timeout");
    else if (death->verdict == VERDICT_MEMORY)
        used = snprintf(text, size, "needed more than its memory limit");
    else if (death->out_of_memory)
        used = snprintf(text, size, "ended for want of memory");
    else if (death->signal)
        used = snprintf(text, size, "killed by signal %d (%s)", death->signal,
                        strsignal(death->signal));
    else
        used = snprintf(text, size, "exit code %d", death->exit_code);
    if (used > 0 && (size_t)used < size)
        snprintf(text + used, size - (size_t)used, " in %s on %s", death->name, host_name());
}

const char *agent_last_words(const char *tail, char words[512])
{
    struct span rest = span_of(tail ? tail : ""), line;
    bool error = false;
    words[0] = '\0';
    while (span_line(&rest, &line)) {
        char text[512];
        snprintf(text, sizeof text, "%.*s", (int)line.size, line.data);
        const char *level = strstr(text, " error ");
        const char *behind = level ? strstr(level, ": ") : NULL;
        if (line.size && (behind || !error))
            snprintf(words, 512, "%s", behind ? behind + 2 : text);
        error = error || behind;
    }
    return words;
}
