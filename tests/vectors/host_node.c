/* A C node for tests: a command a line on stdin, what the node sends a line of hex on stdout.
 *
 *   L payload payload ...     its channels, as DESCRIBE payloads
 *   B boot index capacity     start: its HELLO
 *   R now_us bytes            receive, and answer each request
 *   H now_us bytes            receive, and answer only after the last byte
 *   Q now_us frames bytes     the same, but send so many frames and no more
 *   V t_us number ...         one sample; "-": not valid; f32 as their bits
 *   W t_us number ...         one sample, and send nothing yet
 *   N 0|1                     whether a restart is refused now
 *
 * As the simulated node, it begins anew after a restart and keeps its settings and its count.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tw1_node.h"

static tw1_channel channels[TW1_MAX_CHANNELS];
static tw1_identity identity;
static tw1_node node;
static uint8_t *memory;
static size_t memory_size;
static uint32_t own_value;

static uint8_t own_setting(void *context, uint8_t key, uint32_t *value, bool is_set)
{
    uint32_t *kept = context;

    if (key != TW1_OWN_KEYS && key != TW1_OWN_KEYS + 1) {
        return TW1_NO_KEY;
    }
    if (is_set) {
        if (*value > 9) {
            return TW1_OUT_OF_RANGE;
        }
        *kept = key == TW1_OWN_KEYS ? *value : *kept + *value; /* the second is added */
    }
    *value = *kept;
    return 0;
}

static char *word(void)
{
    char *found = strtok(NULL, " \n");

    return found != NULL ? found : "";
}

static unsigned long long number(void)
{
    return strtoull(word(), NULL, 10);
}

static void begin(uint8_t boot, uint32_t index)
{
    tw1_node before = node;

    if (!tw1_node_begin(&node, &identity, memory, memory_size, boot, 0x5EED0000u + boot, index,
                        1)) {
        abort();
    }
    if (before.period_ms != 0) {
        node.period_ms = before.period_ms;
        node.per_frame = before.per_frame;
        node.per_stats = before.per_stats;
        node.stats = before.stats;
        node.not_now = before.not_now;
    }
    node.stats.free_stack = 512;
    node.stats.battery_mv = 3600;
}

static void send(uint64_t now_us, unsigned long long most)
{
    /* Room to the byte, so that the sanitizer sees one too many. */
    uint8_t *wire = malloc(TW1_MAX_WIRE);
    size_t size;

    while (most-- != 0 && (size = tw1_node_next(&node, now_us, wire)) != 0) {
        for (size_t i = 0; i < size; i++) {
            printf("%02x", wire[i]);
        }
    }
    free(wire);
    if (node.restart != TW1_STAY) {
        begin((uint8_t)(node.boot + 1), node.next_index);
        send(now_us, most);
    }
}

static void send_all(uint64_t now_us)
{
    send(now_us, ~0ull);
}

static void layout(void)
{
    uint8_t count = 0;

    for (const char *text = word(); *text != 0; text = word()) {
        uint8_t payload[64];
        uint8_t index, stated;
        size_t size = strlen(text) / 2;

        for (size_t i = 0; i < size; i++) {
            unsigned byte;
            if (sscanf(text + 2 * i, "%2x", &byte) != 1) {
                abort();
            }
            payload[i] = (uint8_t)byte;
        }
        if (!tw1_get_describe(&index, &stated, &channels[count], payload, size)) {
            abort();
        }
        count++;
    }
    identity.channels = channels;
    identity.channel_count = count;
    identity.own_setting = own_setting;
    identity.context = &own_value;
    identity.has_boot_loader = true;
    memcpy(identity.uid, "\0SIM\0\0\0\1", 8);
    memcpy(identity.firmware, "\1\0\0", 3);
}

static void start(void)
{
    uint8_t boot = (uint8_t)number();
    uint32_t index = (uint32_t)number();

    memory_size = (size_t)number() *
                  (TW1_KEPT_COST + tw1_row_size(channels, identity.channel_count));
    free(memory);
    memory = malloc(memory_size);
    memset(&node, 0, sizeof node);
    begin(boot, index);
    send_all(0);
}

static void receive(bool at_once, bool counted)
{
    uint64_t now_us = number();
    unsigned long long most = counted ? number() : ~0ull;

    for (const char *text = word(); text[0] != 0 && text[0] != '-'; text += 2) {
        unsigned byte;
        if (sscanf(text, "%2x", &byte) != 1) {
            abort();
        }
        if (tw1_node_receive(&node, (uint8_t)byte, now_us) && at_once) {
            send_all(now_us);
        }
    }
    if (!at_once) {
        send(now_us, most);
    }
}

static void sample(bool at_once)
{
    uint64_t t_us = number();
    tw1_value values[TW1_MAX_CHANNELS];
    uint8_t valid[TW1_MAX_CHANNELS];

    for (unsigned i = 0; i < identity.channel_count; i++) {
        const char *text = word();
        valid[i] = *text != '-' || text[1] != 0;
        if (channels[i].dtype <= TW1_I32) {
            values[i].i = (int32_t)strtol(text, NULL, 10);
        } else {
            values[i].u = (uint32_t)strtoul(text, NULL, 10);
        }
    }
    tw1_node_sample(&node, t_us, values, valid);
    if (at_once) {
        send_all(t_us);
    }
}

int main(void)
{
    static char line[1 << 16];

    while (fgets(line, sizeof line, stdin) != NULL) {
        const char *what = strtok(line, " \n");

        switch (what != NULL ? *what : 0) {
        case 'L':
            layout();
            break;
        case 'B':
            start();
            break;
        case 'R':
        case 'H':
        case 'Q':
            receive(*what == 'R', *what == 'Q');
            break;
        case 'V':
        case 'W':
            sample(*what == 'V');
            break;
        case 'N':
            node.not_now = number() != 0;
            break;
        default:
            abort();
        }
        putchar('\n');
        fflush(stdout);
    }
    free(memory);
    return 0;
}
