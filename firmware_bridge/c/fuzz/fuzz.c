/* libFuzzer: any bytes into the receiver, the messages and a node. Run by scripts/fuzz.
 *
 * The first byte says what the rest is for. What must hold is checked here: whatever comes out of
 * the receiver writes the very bytes it was read from, whatever a message says is read again as
 * the same, and whatever a node sends is a frame, in bounded number. The sanitizers see the rest.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tw1.h"
#include "tw1_messages.h"
#include "tw1_node.h"

#define REQUIRE(truth) \
    do { \
        if (!(truth)) { \
            abort(); \
        } \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Bytes between two zeros, as they came. */
typedef struct {
    uint8_t bytes[TW1_MAX_CHUNK];
    size_t size;
} chunk;

static void note(chunk *now, uint8_t byte)
{
    if (now->size < sizeof now->bytes) {
        now->bytes[now->size] = byte;
    }
    now->size++;
}

static void receiver(const uint8_t *data, size_t size)
{
    tw1_decoder decoder;
    chunk now = {{0}, 0};
    size_t i;

    memset(&decoder, 0, sizeof decoder);
    for (i = 0; i < size; i++) {
        tw1_frame frame;
        tw1_event event = tw1_receive(&decoder, data[i], &frame);

        if (event == TW1_FRAME) {
            uint8_t wire[TW1_MAX_WIRE];
            size_t written = tw1_encode(wire, &frame);

            REQUIRE(now.size <= TW1_MAX_CHUNK && written == now.size + 2);
            REQUIRE(memcmp(wire + 1, now.bytes, now.size) == 0);
        } else if (event == TW1_BAD_OVERFLOW) {
            REQUIRE(now.size == TW1_MAX_CHUNK && data[i] != 0);
        } else if (event != TW1_NOTHING) {
            REQUIRE(data[i] == 0 && frame.size == now.size);
        }
        if (data[i] == 0) {
            now.size = 0;
        } else {
            note(&now, data[i]);
        }
        REQUIRE(decoder.size <= TW1_MAX_CHUNK);
    }
}

/* Frame what comes, so that the fuzzer need not find a CRC-32. */
static void frames(const uint8_t *data, size_t size)
{
    uint8_t wire[TW1_MAX_WIRE];
    tw1_decoder decoder;
    tw1_frame frame, found;
    tw1_event event = TW1_NOTHING;
    size_t written, taken;

    if (size < 5) {
        return;
    }
    frame.flags = data[0];
    frame.type = data[1];
    frame.seq = tw1_get_u16(data + 2);
    frame.boot = data[4];
    frame.size = (uint8_t)(size - 5 < 255 ? size - 5 : 255);
    frame.payload = data + 5;
    written = tw1_encode(wire, &frame);
    if (frame.flags > 15 || frame.size > TW1_MAX_PAYLOAD) {
        REQUIRE(written == 0);
        return;
    }
    REQUIRE(written == frame.size + 12u);
    memset(&decoder, 0, sizeof decoder);
    taken = tw1_receive_some(&decoder, wire, written, &event, &found);
    REQUIRE(taken == written && event == TW1_FRAME && found.size == frame.size);
    REQUIRE(found.flags == frame.flags && found.type == frame.type && found.seq == frame.seq);
    REQUIRE(memcmp(found.payload, frame.payload, found.size) == 0);
}

static void messages(const uint8_t *data, size_t size)
{
    uint8_t again[64], once_more[64];
    tw1_hello hello;
    tw1_channel channel;
    tw1_sync sync;
    tw1_setting setting;
    tw1_span span;
    tw1_stats stats;
    uint8_t index, count;

    if (tw1_get_hello(&hello, data, size)) {
        REQUIRE(tw1_put_hello(again, &hello) == size && memcmp(again, data, size) == 0);
    }
    if (tw1_get_sync(&sync, data, size)) {
        REQUIRE(tw1_put_sync(again, &sync) == size && memcmp(again, data, size) == 0);
    }
    if (tw1_get_setting(&setting, data, size)) {
        REQUIRE(tw1_put_setting(again, &setting) == size && memcmp(again, data, size) == 0);
    }
    if (tw1_get_span(&span, data, size)) {
        REQUIRE(tw1_put_span(again, &span) == size && memcmp(again, data, size) == 0);
    }
    if (tw1_get_stats(&stats, data, size)) {
        REQUIRE(tw1_put_stats(again, &stats) == size && memcmp(again, data, size) == 0);
    }
    if (tw1_get_describe(&index, &count, &channel, data, size)) {
        size_t written = tw1_put_describe(again, index, count, &channel);

        REQUIRE(written != 0 && written <= size);
        REQUIRE(tw1_get_describe(&index, &count, &channel, again, written));
        REQUIRE(tw1_put_describe(once_more, index, count, &channel) == written);
        REQUIRE(memcmp(again, once_more, written) == 0);
    }
}

static void samples(const uint8_t *data, size_t size)
{
    tw1_channel channels[TW1_MAX_CHANNELS];
    tw1_value values[TW1_MAX_CHANNELS];
    uint8_t valid[TW1_MAX_CHANNELS], row[TW1_MAX_PAYLOAD], again[TW1_MAX_PAYLOAD];
    size_t row_size, i;
    uint8_t count = size != 0 ? data[0] : 0;
    tw1_data head;

    if (size < 1 + (size_t)count || count > TW1_MAX_CHANNELS) {
        return;
    }
    memset(channels, 0, sizeof channels);
    for (i = 0; i < count; i++) {
        channels[i].dtype = data[1 + i] % 5;
    }
    row_size = tw1_row_size(channels, count);
    data += 1 + count;
    size -= 1 + (size_t)count;
    if (row_size == 0 || size > TW1_MAX_PAYLOAD) {
        return;
    }
    if (tw1_get_data(&head, data, size, row_size) ||
        tw1_get_batch(&head, data, size, row_size)) {
        const uint8_t *at = data + size - head.rows * row_size;

        for (i = 0; i < head.rows; i++, at += row_size) {
            tw1_get_row(values, valid, channels, count, at);
            REQUIRE(tw1_put_row(row, channels, count, values, valid) == row_size);
            tw1_get_row(values, valid, channels, count, row);
            REQUIRE(tw1_put_row(again, channels, count, values, valid) == row_size);
            REQUIRE(memcmp(row, again, row_size) == 0);
        }
    }
}

static const tw1_channel channels[] = {
    {"a", TW1_TILT, TW1_MRAD, TW1_I16, -2, 1000, 0, 0},
    {"b", TW1_DISPLACEMENT, TW1_MM, TW1_F32, 0, 1000, -1, 1},
};
static const tw1_identity identity = {
    .channels = channels, .channel_count = 2, .has_boot_loader = true};

/* Give what the node sends now, to a receiver of its own. */
static void drain(tw1_node *node, uint64_t now_us)
{
    unsigned given;

    for (given = 0;; given++) {
        uint8_t wire[TW1_MAX_WIRE];
        tw1_decoder decoder;
        tw1_event event;
        tw1_frame frame;
        size_t size = tw1_node_next(node, now_us, wire);

        if (size == 0) {
            return;
        }
        REQUIRE(size <= sizeof wire);
        memset(&decoder, 0, sizeof decoder);
        REQUIRE(tw1_receive_some(&decoder, wire, size, &event, &frame) == size);
        REQUIRE(event == TW1_FRAME);
        REQUIRE(given < 2 * TW1_MAX_RESEND);
    }
}

/* Steps: a length byte below 250 and a request of that size, its first byte the type; or a sample,
 * or raw bytes. */
static void whole_node(const uint8_t *data, size_t size)
{
    static uint8_t memory[5 * (TW1_KEPT_COST + 7)];
    tw1_node node;
    uint64_t now_us = 0;

    REQUIRE(tw1_node_begin(&node, &identity, memory, sizeof memory, 0, 0, 0xFFFFFFFDu, 1));
    while (size >= 2) {
        size_t length = data[0];

        now_us += 1000;
        data++;
        size--;
        if (length >= 250) {
            tw1_value values[2];

            values[0].i = data[0];
            values[1].u = (uint32_t)data[0] << 24;
            tw1_node_sample(&node, length == 250 ? 0 : now_us << (length - 250) * 8, values, NULL);
            data++;
            size--;
        } else {
            uint8_t wire[TW1_MAX_WIRE];
            tw1_frame frame = {NULL, 0, TW1_ACK_REQ, 0, 0, 0};
            size_t i, written;

            length = length < size ? length : size - 1;
            frame.type = data[0];
            frame.seq = (uint16_t)(length % 3);
            frame.payload = data + 1;
            frame.size = (uint8_t)(length < TW1_MAX_PAYLOAD ? length : TW1_MAX_PAYLOAD);
            written = tw1_encode(wire, &frame);
            data += 1 + length;
            size -= 1 + length;
            for (i = 0; i < written; i++) {
                if (tw1_node_receive(&node, wire[i], now_us) && length % 7 != 0) {
                    drain(&node, now_us);
                }
            }
        }
        if (length % 2 == 0) {
            drain(&node, now_us);
        }
        if (node.restart != TW1_STAY) {
            return;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const parts[])(const uint8_t *, size_t) = {receiver, frames, messages, samples,
                                                             whole_node};

    if (size != 0) {
        /* A copy of the exact size, so that a step outside is seen. */
        uint8_t *copy = malloc(size - 1 != 0 ? size - 1 : 1);

        memcpy(copy, data + 1, size - 1);
        parts[data[0] % 5](copy, size - 1);
        free(copy);
    }
    return 0;
}
