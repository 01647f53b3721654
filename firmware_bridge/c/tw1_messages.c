#include "tw1_messages.h"

#include <string.h>

#include "tw1.h"

enum {
    HELLO_SIZE = 28,
    DESCRIBE_SIZE = 18, /* without the name */
    SYNC_REQUEST_SIZE = 8,
    SYNC_SIZE = 24,
    GET_SIZE = 2,
    SETTING_SIZE = 6,
    REBOOT_SIZE = 4,
    UPDATE_SIZE = 5,
    SPAN_SIZE = 8,
    STATS_SIZE = 20
};

uint8_t *tw1_put_u16(uint8_t *to, uint16_t value)
{
    to[0] = (uint8_t)value;
    to[1] = (uint8_t)(value >> 8);
    return to + 2;
}

uint8_t *tw1_put_u32(uint8_t *to, uint32_t value)
{
    return tw1_put_u16(tw1_put_u16(to, (uint16_t)value), (uint16_t)(value >> 16));
}

uint8_t *tw1_put_u64(uint8_t *to, uint64_t value)
{
    return tw1_put_u32(tw1_put_u32(to, (uint32_t)value), (uint32_t)(value >> 32));
}

uint16_t tw1_get_u16(const uint8_t *from)
{
    return (uint16_t)(from[0] | from[1] << 8);
}

uint32_t tw1_get_u32(const uint8_t *from)
{
    return tw1_get_u16(from) | (uint32_t)tw1_get_u16(from + 2) << 16;
}

uint64_t tw1_get_u64(const uint8_t *from)
{
    return tw1_get_u32(from) | (uint64_t)tw1_get_u32(from + 4) << 32;
}

static uint32_t bits_of(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits)
{
    float value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

size_t tw1_put_hello(uint8_t *payload, const tw1_hello *hello)
{
    tw1_put_u32(payload, hello->boot_id);
    memcpy(payload + 4, hello->uid, 8);
    memcpy(payload + 12, hello->firmware, 3);
    memcpy(payload + 15, hello->image_hash, 8);
    tw1_put_u16(payload + 23, hello->schema);
    tw1_put_u16(payload + 25, hello->max_raw);
    payload[27] = hello->reset_cause;
    return HELLO_SIZE;
}

bool tw1_get_hello(tw1_hello *hello, const uint8_t *payload, size_t size)
{
    if (size != HELLO_SIZE) {
        return false;
    }
    hello->boot_id = tw1_get_u32(payload);
    memcpy(hello->uid, payload + 4, 8);
    memcpy(hello->firmware, payload + 12, 3);
    memcpy(hello->image_hash, payload + 15, 8);
    hello->schema = tw1_get_u16(payload + 23);
    hello->max_raw = tw1_get_u16(payload + 25);
    hello->reset_cause = payload[27];
    return true;
}

/* Give the length of a name, 0 where it is empty, too long, or not printable ASCII. */
static size_t name_length(const char *name, size_t room)
{
    size_t length = 0;

    while (length < room && name[length] != 0) {
        if (name[length] < ' ' || name[length] > '~') {
            return 0;
        }
        length++;
    }
    return length <= TW1_MAX_NAME ? length : 0;
}

static bool packable(const tw1_channel *channel)
{
    return channel->dtype <= TW1_F32 && channel->exp10 >= -TW1_MAX_EXP10 &&
           channel->exp10 <= TW1_MAX_EXP10;
}

size_t tw1_put_describe(uint8_t *payload, uint8_t index, uint8_t count,
                        const tw1_channel *channel)
{
    size_t length = name_length(channel->name, sizeof channel->name);

    if (length == 0 || !packable(channel) || count > TW1_MAX_CHANNELS || index >= count) {
        return 0;
    }
    payload[0] = index;
    payload[1] = count;
    payload[2] = channel->quantity;
    payload[3] = channel->unit;
    payload[4] = channel->dtype;
    payload[5] = (uint8_t)channel->exp10;
    tw1_put_u32(payload + 6, channel->period_ms);
    tw1_put_u32(payload + 10, bits_of(channel->low));
    tw1_put_u32(payload + 14, bits_of(channel->high));
    memcpy(payload + DESCRIBE_SIZE, channel->name, length);
    return DESCRIBE_SIZE + length;
}

/* Bounds of equal value, or a bound that is NaN, are not stated: without end. */
static void read_bounds(tw1_channel *channel, const uint8_t *payload)
{
    uint32_t low = tw1_get_u32(payload);
    uint32_t high = tw1_get_u32(payload + 4);
    bool same = (low == high && low << 1 <= 0xFF000000u) || (low << 1 == 0 && high << 1 == 0);

    if (same || low << 1 > 0xFF000000u) {
        low = 0xFF800000u;
    }
    if (same || high << 1 > 0xFF000000u) {
        high = 0x7F800000u;
    }
    channel->low = float_of(low);
    channel->high = float_of(high);
}

bool tw1_get_describe(uint8_t *index, uint8_t *count, tw1_channel *channel,
                      const uint8_t *payload, size_t size)
{
    size_t length = size - DESCRIBE_SIZE;

    if (size <= DESCRIBE_SIZE || length > TW1_MAX_NAME) {
        return false;
    }
    while (length != 0 && payload[DESCRIBE_SIZE + length - 1] == 0) {
        length--; /* a name may be padded */
    }
    memset(channel->name, 0, sizeof channel->name);
    memcpy(channel->name, payload + DESCRIBE_SIZE, length);
    *index = payload[0];
    *count = payload[1];
    channel->quantity = payload[2] < TW1_QUANTITIES ? payload[2] : TW1_OTHER;
    channel->unit = payload[3] < TW1_UNITS ? payload[3] : TW1_RAW;
    channel->dtype = payload[4];
    channel->exp10 = (int8_t)(payload[5] < 128 ? payload[5] : payload[5] - 256);
    channel->period_ms = tw1_get_u32(payload + 6);
    read_bounds(channel, payload + 10);
    return length != 0 && name_length(channel->name, sizeof channel->name) == length &&
           *index < *count && *count <= TW1_MAX_CHANNELS && packable(channel) &&
           channel->low <= channel->high;
}

bool tw1_get_sync_request(uint64_t *t1_us, const uint8_t *payload, size_t size)
{
    if (size != SYNC_REQUEST_SIZE) {
        return false;
    }
    *t1_us = tw1_get_u64(payload);
    return true;
}

size_t tw1_put_sync(uint8_t *payload, const tw1_sync *sync)
{
    tw1_put_u64(tw1_put_u64(tw1_put_u64(payload, sync->t1_us), sync->t2_us), sync->t3_us);
    return SYNC_SIZE;
}

bool tw1_get_sync(tw1_sync *sync, const uint8_t *payload, size_t size)
{
    if (size != SYNC_SIZE) {
        return false;
    }
    sync->t1_us = tw1_get_u64(payload);
    sync->t2_us = tw1_get_u64(payload + 8);
    sync->t3_us = tw1_get_u64(payload + 16);
    return true;
}

size_t tw1_put_setting(uint8_t *payload, const tw1_setting *setting)
{
    payload[0] = setting->is_set;
    payload[1] = setting->key;
    if (!setting->has_value) {
        return setting->is_set ? 0 : GET_SIZE;
    }
    tw1_put_u32(payload + 2, setting->value);
    return SETTING_SIZE;
}

bool tw1_get_setting(tw1_setting *setting, const uint8_t *payload, size_t size)
{
    if (size != SETTING_SIZE && size != GET_SIZE) {
        return false;
    }
    setting->is_set = payload[0] == 1;
    setting->key = payload[1];
    setting->has_value = size == SETTING_SIZE;
    setting->value = setting->has_value ? tw1_get_u32(payload + 2) : 0;
    return payload[0] == 0 || (payload[0] == 1 && setting->has_value);
}

bool tw1_get_reboot(uint32_t *boot_id, const uint8_t *payload, size_t size)
{
    if (size != REBOOT_SIZE) {
        return false;
    }
    *boot_id = tw1_get_u32(payload);
    return true;
}

size_t tw1_put_enter_update(uint8_t *payload, uint32_t boot_id, uint8_t mode)
{
    *tw1_put_u32(payload, boot_id) = mode;
    return UPDATE_SIZE;
}

bool tw1_get_enter_update(uint32_t *boot_id, uint8_t *mode, const uint8_t *payload, size_t size)
{
    if (size != UPDATE_SIZE) {
        return false;
    }
    *boot_id = tw1_get_u32(payload);
    *mode = payload[4];
    return true;
}

size_t tw1_put_span(uint8_t *payload, const tw1_span *span)
{
    tw1_put_u32(tw1_put_u32(payload, span->first), span->last);
    return SPAN_SIZE;
}

bool tw1_get_span(tw1_span *span, const uint8_t *payload, size_t size)
{
    if (size != SPAN_SIZE) {
        return false;
    }
    span->first = tw1_get_u32(payload);
    span->last = tw1_get_u32(payload + 4);
    return span->last - span->first < TW1_MAX_RESEND;
}

size_t tw1_put_stats(uint8_t *payload, const tw1_stats *stats)
{
    uint8_t *at = tw1_put_u32(tw1_put_u32(payload, stats->ok), stats->crc);

    at = tw1_put_u32(tw1_put_u32(at, stats->format), stats->overflow);
    tw1_put_u16(tw1_put_u16(at, stats->free_stack), stats->battery_mv);
    return STATS_SIZE;
}

bool tw1_get_stats(tw1_stats *stats, const uint8_t *payload, size_t size)
{
    if (size != STATS_SIZE) {
        return false;
    }
    stats->ok = tw1_get_u32(payload);
    stats->crc = tw1_get_u32(payload + 4);
    stats->format = tw1_get_u32(payload + 8);
    stats->overflow = tw1_get_u32(payload + 12);
    stats->free_stack = tw1_get_u16(payload + 16);
    stats->battery_mv = tw1_get_u16(payload + 18);
    return true;
}
