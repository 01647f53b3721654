#include "tw1_answers.h"

#include <string.h>

static const uint32_t greatest[] = {0, 86400000u, 255u, 1000000u}; /* of keys 1..3 */

size_t tw1_answer_hello(const tw1_node *node, uint8_t *payload)
{
    const tw1_identity *identity = node->identity;
    tw1_hello hello;

    hello.boot_id = node->boot_id;
    hello.schema = node->schema;
    hello.max_raw = TW1_MAX_RAW;
    memcpy(hello.uid, identity->uid, sizeof hello.uid);
    memcpy(hello.firmware, identity->firmware, sizeof hello.firmware);
    memcpy(hello.image_hash, identity->image_hash, sizeof hello.image_hash);
    hello.reset_cause = node->reset_cause;
    return tw1_put_hello(payload, &hello);
}

static size_t change_setting(tw1_node *node, uint8_t *answer, uint8_t *code)
{
    uint32_t *const settings[] = {NULL, &node->period_ms, &node->per_frame, &node->per_stats};
    tw1_setting setting;

    if (!tw1_get_setting(&setting, node->asked.payload, node->asked.size)) {
        *code = TW1_WRONG_SIZE;
    } else if (setting.key >= TW1_OWN_KEYS) {
        *code = node->identity->own_setting == NULL
                    ? TW1_NO_KEY
                    : node->identity->own_setting(node->identity->context, setting.key,
                                                  &setting.value, setting.is_set);
    } else if (setting.key == TW1_KEPT_SAMPLES) {
        setting.value = (uint32_t)node->capacity;
        *code = setting.is_set ? TW1_READ_ONLY : 0;
    } else if (setting.key == 0 || setting.key > TW1_SAMPLES_PER_STATS) {
        *code = TW1_NO_KEY;
    } else if (!setting.is_set) {
        setting.value = *settings[setting.key];
    } else if (setting.value > greatest[setting.key] ||
               (setting.value == 0 && setting.key != TW1_SAMPLES_PER_STATS)) {
        *code = TW1_OUT_OF_RANGE;
    } else {
        *settings[setting.key] = setting.value;
    }
    setting.has_value = true;
    return *code == 0 ? tw1_put_setting(answer, &setting) : 0;
}

static void restart(tw1_node *node, uint8_t *code)
{
    const tw1_frame *asked = &node->asked;
    uint32_t boot_id;
    uint8_t mode = 0;
    bool update = asked->type == TW1_ENTER_UPDATE;

    if (update && !node->identity->has_boot_loader) {
        *code = TW1_UNKNOWN;
    } else if (!(update ? tw1_get_enter_update(&boot_id, &mode, asked->payload, asked->size)
                        : tw1_get_reboot(&boot_id, asked->payload, asked->size))) {
        *code = TW1_WRONG_SIZE;
    } else if (boot_id != node->boot_id) {
        *code = TW1_OTHER_BOOT;
    } else if (mode != 0) {
        *code = TW1_OUT_OF_RANGE;
    } else if (node->not_now) {
        *code = TW1_NOT_NOW;
    } else {
        node->restart = update ? TW1_TO_BOOT_LOADER : TW1_TO_REBOOT;
    }
}

/* Carry out a command, once: the last one again gets the last answer again. */
static size_t carry_out(tw1_node *node, uint8_t *answer, uint8_t *code)
{
    const tw1_frame *asked = &node->asked;
    uint32_t crc = tw1_crc32(0, asked->payload, asked->size);

    if (asked->type != node->last_type || asked->seq != node->last_seq || crc != node->last_crc) {
        uint8_t size = 0;

        if (asked->type == TW1_GET_SET) {
            size = (uint8_t)change_setting(node, answer, code);
        } else if (asked->type == TW1_REBOOT || asked->type == TW1_ENTER_UPDATE) {
            restart(node, code);
        } else {
            *code = TW1_UNKNOWN;
        }
        if (*code != 0) {
            return 0;
        }
        node->last_type = asked->type;
        node->last_seq = asked->seq;
        node->last_crc = crc;
        node->answer_size = size;
        memcpy(node->answer, answer, size);
    }
    memcpy(answer, node->answer, node->answer_size);
    return node->answer_size;
}

static size_t describe(const tw1_node *node, uint8_t *answer, uint8_t *code)
{
    const tw1_identity *identity = node->identity;
    uint8_t index;

    if (node->asked.size != 1) {
        *code = TW1_WRONG_SIZE;
        return 0;
    }
    index = node->asked.payload[0];
    if (index >= identity->channel_count) {
        *code = TW1_OUT_OF_RANGE;
        return 0;
    }
    return tw1_put_describe(answer, index, identity->channel_count, &identity->channels[index]);
}

static size_t synchronise(const tw1_node *node, uint64_t now_us, uint8_t *answer, uint8_t *code)
{
    tw1_sync sync;

    if (!tw1_get_sync_request(&sync.t1_us, node->asked.payload, node->asked.size)) {
        *code = TW1_WRONG_SIZE;
        return 0;
    }
    sync.t2_us = node->asked_us;
    sync.t3_us = now_us;
    return tw1_put_sync(answer, &sync);
}

/* What is missing is missing at the beginning: memory forgets the oldest. */
static size_t resend(tw1_node *node, uint8_t *answer, uint8_t *code)
{
    tw1_span span;
    uint32_t age, count;

    if (!tw1_get_span(&span, node->asked.payload, node->asked.size)) {
        *code = TW1_WRONG_SIZE;
        return 0;
    }
    age = node->next_index - span.last; /* 1: the newest */
    if (age == 0 || age > node->kept) {
        *code = TW1_GONE;
        return 0;
    }
    count = span.last - span.first + 1;
    if (count > node->kept - age + 1) {
        span.first = span.last - (uint32_t)(node->kept - age);
    }
    node->resend = span;
    node->resending = true;
    return tw1_put_span(answer, &span);
}

size_t tw1_answer(tw1_node *node, uint64_t now_us, uint8_t *answer, uint8_t *code)
{
    switch (node->asked.type) {
    case TW1_HELLO:
        return tw1_answer_hello(node, answer);
    case TW1_DESCRIBE:
        return describe(node, answer, code);
    case TW1_SYNC:
        return synchronise(node, now_us, answer, code);
    case TW1_PING:
        memcpy(answer, node->asked.payload, node->asked.size);
        return node->asked.size;
    case TW1_RESEND:
        return resend(node, answer, code);
    default:
        return carry_out(node, answer, code);
    }
}
