/* The C side of TW1 for tests: a question a line on stdin, the answer a line of JSON on stdout.
 *
 *   E flags type seq boot payload          write a frame             -> "wire"
 *   S reset_at cuts data                   receive a stream          -> [forgotten, [events]]
 *   M kind payload                         read a message            -> [fields, "written anew"]
 *   L payload payload ...                  the layout from here on   -> [schema, row size]
 *   D data|batch payload                   read samples by it        -> [fields, "written anew"]
 *
 * Bytes are hex, "-" where there are none; cuts are commas and numbers. null: refused.
 * Buffers are of malloc and of the exact size, so that the sanitizers see a step outside.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"
#include "tw1.h"

blob unhex(const char *text)
{
    blob made = {NULL, text[0] == '-' ? 0 : strlen(text) / 2};

    made.bytes = malloc(made.size != 0 ? made.size : 1);
    for (size_t i = 0; i < made.size; i++) {
        unsigned byte;
        if (sscanf(text + 2 * i, "%2x", &byte) != 1) {
            abort();
        }
        made.bytes[i] = (uint8_t)byte;
    }
    return made;
}

void put_hex(const uint8_t *bytes, size_t size)
{
    putchar('"');
    for (size_t i = 0; i < size; i++) {
        printf("%02x", bytes[i]);
    }
    putchar('"');
}

char *word(void)
{
    char *found = strtok(NULL, " \n");

    return found != NULL ? found : "";
}

static unsigned long number(void)
{
    return strtoul(word(), NULL, 10);
}

static void encode(void)
{
    tw1_frame frame;
    blob payload;
    uint8_t *wire;
    size_t size;

    frame.flags = (uint8_t)number();
    frame.type = (uint8_t)number();
    frame.seq = (uint16_t)number();
    frame.boot = (uint8_t)number();
    payload = unhex(word());
    frame.payload = payload.bytes;
    frame.size = (uint8_t)payload.size;
    wire = malloc(payload.size + 12);
    size = tw1_encode(wire, &frame);
    if (size == 0) {
        printf("null");
    } else {
        uint8_t *again = malloc(size); /* and once more, the payload already in its place */
        memcpy(again + TW1_PAYLOAD_AT, payload.bytes, payload.size);
        frame.payload = again + TW1_PAYLOAD_AT;
        if (tw1_encode(again, &frame) != size || memcmp(again, wire, size) != 0) {
            abort();
        }
        free(again);
        put_hex(wire, size);
    }
    free(wire);
    free(payload.bytes);
}

static const char *const reasons[] = {"",    "frame",   "cobs",     "short",
                                      "crc", "version", "overflow", "partial"};
static bool first_event;

static void put_events(tw1_decoder *decoder, const uint8_t *data, size_t size)
{
    /* A copy that ends where the piece does. */
    uint8_t *piece = malloc(size != 0 ? size : 1);
    size_t at = 0;

    memcpy(piece, data, size);
    while (at < size) {
        tw1_event event;
        tw1_frame frame;

        at += tw1_receive_some(decoder, piece + at, size - at, &event, &frame);
        if (event == TW1_NOTHING) {
            continue;
        }
        printf("%s[\"%s\",", first_event ? "" : ",", reasons[event]);
        first_event = false;
        if (event == TW1_FRAME) {
            printf("%u,%u,%u,%u,", frame.flags, frame.type, frame.seq, frame.boot);
            put_hex(frame.payload, frame.size);
        } else {
            printf("%u", frame.size);
        }
        putchar(']');
    }
    free(piece);
}

static void stream(void)
{
    tw1_decoder *decoder = calloc(1, sizeof *decoder);
    long reset_at = strtol(word(), NULL, 10);
    char *cuts = word();
    blob data = unhex(word());
    bool bytewise = strcmp(cuts, "-1") == 0;
    size_t forgotten = 0;
    size_t at = 0;

    first_event = true;
    printf("[[");
    while (at < data.size || reset_at == (long)at) {
        size_t end = data.size;

        if (reset_at == (long)at) {
            forgotten = tw1_decoder_reset(decoder);
            reset_at = -1;
        }
        if (bytewise) {
            end = at + 1;
        } else if (*cuts != '-') {
            end = strtoul(cuts, &cuts, 10);
            cuts += *cuts == ',';
            if (end == 0) {
                end = data.size;
            }
        }
        if (reset_at > (long)at && (long)end > reset_at) {
            end = (size_t)reset_at;
        }
        if (end > data.size) {
            end = data.size;
        }
        put_events(decoder, data.bytes + at, end - at);
        at = end;
    }
    printf("],%zu]", forgotten);
    free(data.bytes);
    free(decoder);
}

int main(void)
{
    static char line[1 << 17];

    while (fgets(line, sizeof line, stdin) != NULL) {
        const char *what = strtok(line, " \n");

        switch (what != NULL ? *what : 0) {
        case 'E':
            encode();
            break;
        case 'S':
            stream();
            break;
        case 'M':
            message();
            break;
        case 'L':
            layout();
            break;
        case 'D':
            data();
            break;
        default:
            abort();
        }
        putchar('\n');
    }
    return 0;
}
