#include <string.h>

#include "tw1.h"
#include "tw1_messages.h"

static size_t bitmap_size(uint8_t count)
{
    return (size_t)(count + 7) / 8;
}

size_t tw1_put_data(uint8_t *payload, const tw1_data *data)
{
    tw1_put_u64(tw1_put_u32(tw1_put_u16(payload, data->schema), data->index), data->t_us);
    return TW1_DATA_HEAD;
}

size_t tw1_put_batch(uint8_t *payload, const tw1_data *data)
{
    *tw1_put_u32(payload + tw1_put_data(payload, data), data->dt_us) = data->rows;
    return TW1_BATCH_HEAD;
}

static void get_head(tw1_data *data, const uint8_t *payload)
{
    data->schema = tw1_get_u16(payload);
    data->index = tw1_get_u32(payload + 2);
    data->t_us = tw1_get_u64(payload + 6);
}

bool tw1_get_data(tw1_data *data, const uint8_t *payload, size_t size, size_t row_size)
{
    if (size != TW1_DATA_HEAD + row_size) {
        return false;
    }
    get_head(data, payload);
    data->dt_us = 0;
    data->rows = 1;
    return true;
}

bool tw1_get_batch(tw1_data *data, const uint8_t *payload, size_t size, size_t row_size)
{
    if (size < TW1_BATCH_HEAD + row_size) {
        return false;
    }
    get_head(data, payload);
    data->dt_us = tw1_get_u32(payload + 14);
    data->rows = payload[18];
    return size == TW1_BATCH_HEAD + data->rows * row_size;
}

size_t tw1_row_size(const tw1_channel *channels, uint8_t count)
{
    size_t size = bitmap_size(count);
    uint8_t i;

    if (count == 0 || count > TW1_MAX_CHANNELS) {
        return 0;
    }
    for (i = 0; i < count; i++) {
        if (channels[i].dtype > TW1_F32) {
            return 0;
        }
        size += channels[i].dtype == TW1_I16 ? 2 : 4;
    }
    return TW1_DATA_HEAD + size <= TW1_MAX_PAYLOAD ? size : 0;
}

/* Whether the number, whose bits are given too, is one that can be sent. */
static bool sendable(uint8_t dtype, tw1_value value, uint32_t bits)
{
    if (dtype == TW1_I16) {
        return value.i >= INT16_MIN && value.i <= INT16_MAX;
    }
    return dtype != TW1_F32 || (bits & 0x7F800000u) != 0x7F800000u;
}

size_t tw1_put_row(uint8_t *row, const tw1_channel *channels, uint8_t count,
                   const tw1_value *values, const uint8_t *valid)
{
    uint8_t *at = row + bitmap_size(count);
    uint8_t i;

    memset(row, 0, bitmap_size(count));
    for (i = 0; i < count; i++) {
        uint32_t bits;

        memcpy(&bits, &values[i], sizeof bits);
        if ((valid != NULL && valid[i] == 0) || !sendable(channels[i].dtype, values[i], bits)) {
            bits = 0;
        } else {
            row[i / 8] = (uint8_t)(row[i / 8] | 1u << i % 8);
        }
        at = channels[i].dtype == TW1_I16 ? tw1_put_u16(at, (uint16_t)bits)
                                          : tw1_put_u32(at, bits);
    }
    return (size_t)(at - row);
}

void tw1_get_row(tw1_value *values, uint8_t *valid, const tw1_channel *channels, uint8_t count,
                 const uint8_t *row)
{
    const uint8_t *at = row + bitmap_size(count);
    uint8_t i;

    for (i = 0; i < count; i++) {
        uint32_t bits;

        valid[i] = row[i / 8] >> i % 8 & 1;
        if (channels[i].dtype == TW1_I16) {
            bits = tw1_get_u16(at);
            bits = (bits ^ 0x8000u) - 0x8000u; /* the sign, carried up */
            at += 2;
        } else {
            bits = tw1_get_u32(at);
            at += 4;
        }
        memcpy(&values[i], &bits, sizeof bits);
    }
}
