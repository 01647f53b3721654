#include "tw1_node.h"

#include <string.h>

#include "tw1_answers.h"

/* Frames are built in the buffer they are sent from. */
#define PAYLOAD (wire + TW1_PAYLOAD_AT)

bool tw1_node_begin(tw1_node *node, const tw1_identity *identity, uint8_t *memory,
                    size_t memory_size, uint8_t boot, uint32_t boot_id, uint32_t next_index,
                    uint8_t reset_cause)
{
    uint8_t record[34];
    uint32_t crc = 0;
    uint8_t i;

    memset(node, 0, sizeof *node);
    node->identity = identity;
    node->memory = memory;
    node->period_ms = 1000;
    node->per_frame = 1;
    node->boot = boot;
    node->boot_id = boot_id;
    node->next_index = next_index;
    node->reset_cause = reset_cause;
    node->hello_due = true;
    node->row_size = tw1_row_size(identity->channels, identity->channel_count);
    node->capacity = memory_size / (TW1_KEPT_COST + node->row_size);
    for (i = 0; i < identity->channel_count; i++) {
        size_t size = tw1_put_describe(record, i, identity->channel_count,
                                       &identity->channels[i]);
        if (size == 0) {
            return false;
        }
        crc = tw1_crc32(crc, record, size);
    }
    node->schema = (uint16_t)crc;
    return node->row_size != 0 && node->capacity != 0;
}

bool tw1_node_receive(tw1_node *node, uint8_t byte, uint64_t now_us)
{
    tw1_frame frame;
    tw1_event event = tw1_receive(&node->decoder, byte, &frame);

    if (byte != 0) {
        node->has_asked = false; /* its payload is being overwritten */
    }
    switch (event) {
    case TW1_NOTHING:
        return false;
    case TW1_FRAME:
        node->stats.ok++;
        break;
    case TW1_BAD_OVERFLOW:
        node->stats.overflow++;
        return false;
    case TW1_BAD_VERSION:
        node->stats.format++;
        return false;
    default:
        node->stats.crc++;
        return false;
    }
    if ((frame.flags & (TW1_ACK_REQ | TW1_RESPONSE)) != TW1_ACK_REQ) {
        return false; /* not a question: our own frame, repeated by an RS-485 adapter */
    }
    node->asked = frame;
    node->asked_us = now_us;
    node->has_asked = true;
    return true;
}

/* The sample `age` before the next: 1 is the newest. */
static uint8_t *slot_of(const tw1_node *node, size_t age)
{
    size_t slot = age > node->head ? node->head + node->capacity - age : node->head - age;

    return node->memory + slot * (TW1_KEPT_COST + node->row_size);
}

/* How many samples go into one frame, at most. */
static size_t frame_room(const tw1_node *node)
{
    return (TW1_MAX_PAYLOAD - TW1_BATCH_HEAD) / node->row_size;
}

void tw1_node_sample(tw1_node *node, uint64_t t_us, const tw1_value *values,
                     const uint8_t *valid)
{
    uint8_t *slot = node->memory + node->head * (TW1_KEPT_COST + node->row_size);
    size_t room = frame_room(node);

    memcpy(slot, &t_us, sizeof t_us);
    tw1_put_row(slot + TW1_KEPT_COST, node->identity->channels, node->identity->channel_count,
                values, valid);
    node->head = node->head + 1 < node->capacity ? node->head + 1 : 0;
    node->kept += node->kept < node->capacity;
    node->unsent += node->unsent < node->capacity;
    node->next_index++;
    if (node->unsent >= node->per_frame || node->unsent >= room ||
        node->unsent == node->capacity) {
        node->data_due = true;
    }
    if (node->per_stats != 0 && node->next_index % node->per_stats == 0) {
        node->stats_due = true;
    }
}

static size_t put_frame(const tw1_node *node, uint8_t *wire, uint8_t flags, uint8_t type,
                        uint16_t seq, size_t size)
{
    tw1_frame frame;

    frame.payload = PAYLOAD;
    frame.seq = seq;
    frame.flags = flags;
    frame.type = type;
    frame.boot = node->boot;
    frame.size = (uint8_t)size;
    return tw1_encode(wire, &frame);
}

/* Write the samples from `age` on, as many as `rows`, or just the first where the time they span
 * does not fit; gives the rows written. */
static size_t put_samples(tw1_node *node, uint8_t *wire, size_t age, size_t rows, uint8_t flags,
                          size_t *size)
{
    tw1_data data;
    uint64_t last_us, step_us = 0;
    size_t at, k;

    memcpy(&data.t_us, slot_of(node, age), sizeof data.t_us);
    if (rows > 1) {
        memcpy(&last_us, slot_of(node, age + 1 - rows), sizeof last_us);
        step_us = (last_us - data.t_us) / (rows - 1);
    }
    if (step_us > UINT32_MAX) {
        rows = 1;
    }
    data.schema = node->schema;
    data.index = node->next_index - (uint32_t)age;
    data.dt_us = (uint32_t)step_us;
    data.rows = (uint8_t)rows;
    at = rows > 1 ? tw1_put_batch(PAYLOAD, &data) : tw1_put_data(PAYLOAD, &data);
    for (k = 0; k < rows; k++) {
        memcpy(PAYLOAD + at, slot_of(node, age - k) + TW1_KEPT_COST, node->row_size);
        at += node->row_size;
    }
    node->seq++;
    *size = put_frame(node, wire, flags, rows > 1 ? TW1_DATA_BATCH : TW1_DATA, node->seq, at);
    return rows;
}

static size_t answer_asked(tw1_node *node, uint64_t now_us, uint8_t *wire)
{
    uint8_t flags = TW1_RESPONSE;
    uint8_t code = 0;
    size_t size = tw1_answer(node, now_us, PAYLOAD, &code);

    node->has_asked = false;
    if (code != 0) {
        *PAYLOAD = code;
        flags = TW1_RESPONSE | TW1_ERROR;
        size = 1;
    }
    return put_frame(node, wire, flags, node->asked.type, node->asked.seq, size);
}

/* The next sample asked for again that is still kept. */
static size_t send_again(tw1_node *node, uint8_t *wire)
{
    while (node->resending) {
        uint32_t age = node->next_index - node->resend.first;
        size_t size;

        node->resending = node->resend.first != node->resend.last;
        node->resend.first++;
        if (age <= node->kept) {
            put_samples(node, wire, (size_t)age, 1, TW1_RESPONSE, &size);
            return size;
        }
    }
    return 0;
}

size_t tw1_node_next(tw1_node *node, uint64_t now_us, uint8_t *wire)
{
    size_t room = frame_room(node);
    size_t size;

    if (node->hello_due) {
        node->hello_due = false;
        node->seq++;
        return put_frame(node, wire, 0, TW1_HELLO, node->seq,
                         tw1_answer_hello(node, PAYLOAD));
    }
    if (node->has_asked) {
        return answer_asked(node, now_us, wire);
    }
    if (node->data_due) { /* before what is history */
        size_t rows = node->unsent < room ? node->unsent : room;

        node->unsent -= put_samples(node, wire, node->unsent, rows != 0 ? rows : 1, 0, &size);
        node->data_due = node->unsent != 0;
        return size;
    }
    if (node->stats_due) {
        node->stats_due = false;
        node->seq++;
        return put_frame(node, wire, 0, TW1_STATS, node->seq,
                         tw1_put_stats(PAYLOAD, &node->stats));
    }
    return send_again(node, wire);
}
