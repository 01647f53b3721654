/* Questions M, L and D of host.c. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"
#include "tw1.h"
#include "tw1_messages.h"

static uint8_t again[TW1_MAX_PAYLOAD + 16];
static size_t again_size;

static void put_float(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7F800000u) == 0x7F800000u) {
        printf("null");
    } else {
        printf("%.9g", (double)value);
    }
}

static bool hello(blob in)
{
    tw1_hello it;

    if (!tw1_get_hello(&it, in.bytes, in.size)) {
        return false;
    }
    printf("[[%" PRIu32 ",", it.boot_id);
    put_hex(it.uid, 8);
    printf(",[%u,%u,%u],", it.firmware[0], it.firmware[1], it.firmware[2]);
    put_hex(it.image_hash, 8);
    printf(",%u,%u,%u],", it.schema, it.max_raw, it.reset_cause);
    again_size = tw1_put_hello(again, &it);
    return true;
}

static bool describe(blob in)
{
    tw1_channel it;
    uint8_t index, count;

    if (!tw1_get_describe(&index, &count, &it, in.bytes, in.size)) {
        return false;
    }
    printf("[[%u,%u,%u,%u,%u,%d,%" PRIu32 ",", index, count, it.quantity, it.unit, it.dtype,
           it.exp10, it.period_ms);
    put_float(it.low);
    putchar(',');
    put_float(it.high);
    printf(",\"");
    for (const char *at = it.name; *at != 0; at++) {
        printf(*at == '"' || *at == '\\' ? "\\%c" : "%c", *at);
    }
    printf("\"],");
    again_size = tw1_put_describe(again, index, count, &it);
    return true;
}

static bool command(const char *kind, blob in)
{
    tw1_sync sync;
    tw1_setting setting;
    tw1_span span;
    uint32_t boot_id;
    uint8_t mode;

    if (strcmp(kind, "sync_request") == 0 &&
        tw1_get_sync_request(&sync.t1_us, in.bytes, in.size)) {
        printf("[[%" PRIu64 "],", sync.t1_us);
        again_size = (size_t)(tw1_put_u64(again, sync.t1_us) - again);
    } else if (strcmp(kind, "sync") == 0 && tw1_get_sync(&sync, in.bytes, in.size)) {
        printf("[[%" PRIu64 ",%" PRIu64 ",%" PRIu64 "],", sync.t1_us, sync.t2_us, sync.t3_us);
        again_size = tw1_put_sync(again, &sync);
    } else if (strcmp(kind, "get_set") == 0 && tw1_get_setting(&setting, in.bytes, in.size)) {
        printf("[[%d,%u,", setting.is_set, setting.key);
        if (setting.has_value) {
            printf("%" PRIu32 "],", setting.value);
        } else {
            printf("null],");
        }
        again_size = tw1_put_setting(again, &setting);
    } else if (strcmp(kind, "reboot") == 0 && tw1_get_reboot(&boot_id, in.bytes, in.size)) {
        printf("[[%" PRIu32 "],", boot_id);
        again_size = (size_t)(tw1_put_u32(again, boot_id) - again);
    } else if (strcmp(kind, "enter_update") == 0 &&
               tw1_get_enter_update(&boot_id, &mode, in.bytes, in.size)) {
        printf("[[%" PRIu32 ",%u],", boot_id, mode);
        again_size = tw1_put_enter_update(again, boot_id, mode);
    } else if (strcmp(kind, "resend") == 0 && tw1_get_span(&span, in.bytes, in.size)) {
        printf("[[%" PRIu32 ",%" PRIu32 "],", span.first, span.last);
        again_size = tw1_put_span(again, &span);
    } else {
        return false;
    }
    return true;
}

static bool stats(blob in)
{
    tw1_stats it;

    if (!tw1_get_stats(&it, in.bytes, in.size)) {
        return false;
    }
    printf("[[%" PRIu32 ",%" PRIu32 ",%" PRIu32 ",%" PRIu32 ",%u,%u],", it.ok, it.crc, it.format,
           it.overflow, it.free_stack, it.battery_mv);
    again_size = tw1_put_stats(again, &it);
    return true;
}

void message(void)
{
    const char *kind = word();
    blob in = unhex(word());
    bool known;

    if (strcmp(kind, "hello") == 0) {
        known = hello(in);
    } else if (strcmp(kind, "describe") == 0) {
        known = describe(in);
    } else if (strcmp(kind, "stats") == 0) {
        known = stats(in);
    } else {
        known = command(kind, in);
    }
    if (known) {
        put_hex(again, again_size);
        putchar(']');
    } else {
        printf("null");
    }
    free(in.bytes);
}

static tw1_channel channels[TW1_MAX_CHANNELS];
static uint8_t channel_count;
static size_t row_size;

void layout(void)
{
    uint32_t crc = 0;

    channel_count = 0;
    for (const char *text = word(); *text != 0; text = word()) {
        blob in = unhex(text);
        uint8_t index, count;

        if (!tw1_get_describe(&index, &count, &channels[channel_count], in.bytes, in.size) ||
            index != channel_count) {
            abort();
        }
        crc = tw1_crc32(
            crc, again, tw1_put_describe(again, index, count, &channels[channel_count]));
        channel_count++;
        free(in.bytes);
    }
    row_size = tw1_row_size(channels, channel_count);
    printf("[%u,%zu]", (unsigned)(crc & 0xFFFFu), row_size);
}

static void put_row(const uint8_t *row)
{
    tw1_value *values = calloc(channel_count, sizeof *values);
    uint8_t *valid = malloc(channel_count);

    tw1_get_row(values, valid, channels, channel_count, row);
    printf("[[");
    for (unsigned i = 0; i < channel_count; i++) {
        printf("%s%u", i != 0 ? "," : "", valid[i]);
    }
    printf("],[");
    for (unsigned i = 0; i < channel_count; i++) {
        printf(i != 0 ? "," : "");
        if (channels[i].dtype <= TW1_I32) {
            printf("%" PRId32, values[i].i);
        } else {
            printf("%" PRIu32, values[i].u);
        }
    }
    printf("]]");
    again_size += tw1_put_row(again + again_size, channels, channel_count, values, valid);
    free(values);
    free(valid);
}

void data(void)
{
    bool batch = strcmp(word(), "batch") == 0;
    blob in = unhex(word());
    tw1_data head;

    if (batch ? tw1_get_batch(&head, in.bytes, in.size, row_size)
              : tw1_get_data(&head, in.bytes, in.size, row_size)) {
        const uint8_t *row = in.bytes + (batch ? TW1_BATCH_HEAD : TW1_DATA_HEAD);

        again_size = batch ? tw1_put_batch(again, &head) : tw1_put_data(again, &head);
        printf("[[%" PRIu32 ",%" PRIu64 ",%" PRIu32 ",[", head.index, head.t_us, head.dt_us);
        for (unsigned i = 0; i < head.rows; i++, row += row_size) {
            printf(i != 0 ? "," : "");
            put_row(row);
        }
        printf("]],");
        put_hex(again, again_size);
        putchar(']');
    } else {
        printf("null");
    }
    free(in.bytes);
}
