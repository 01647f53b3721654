#include "tw1.h"

#include <string.h>

#define SHORTEST_CHUNK 10       /* 1 of COBS, 5 of header, 4 of CRC */
#define RESIDUE 0x2144DF1Cu     /* CRC-32 of any bytes followed by their own CRC-32 */

enum {
    SKIPPING = 1,     /* the chunk overflowed and was told: wait for its end */
    AFTER_DAMAGE = 2, /* the last chunk was bad and just one zero came since */
    JOINED = 4        /* no zero since the reset */
};

uint32_t tw1_crc32(uint32_t crc, const uint8_t *data, size_t size)
{
    static const uint32_t table[16] = {
        0x00000000u, 0x1DB71064u, 0x3B6E20C8u, 0x26D930ACu, 0x76DC4190u, 0x6B6B51F4u,
        0x4DB26158u, 0x5005713Cu, 0xEDB88320u, 0xF00F9344u, 0xD6D6A3E8u, 0xCB61B38Cu,
        0x9B64C2B0u, 0x86D3D2D4u, 0xA00AE278u, 0xBDBDF21Cu,
    };
    crc = ~crc;
    while (size-- != 0) {
        crc ^= *data++;
        crc = crc >> 4 ^ table[crc & 15u];
        crc = crc >> 4 ^ table[crc & 15u];
    }
    return ~crc;
}

size_t tw1_encode(uint8_t *wire, const tw1_frame *frame)
{
    uint8_t *const raw = wire + 2; /* before it the first zero and the first code */
    uint8_t *code = wire + 1;
    uint8_t *at;
    uint8_t *end;
    uint32_t crc;

    if (frame->size > TW1_MAX_PAYLOAD || frame->flags > 15) {
        return 0;
    }
    if (frame->size != 0) {
        memmove(raw + 5, frame->payload, frame->size);
    }
    wire[0] = 0;
    raw[0] = (uint8_t)(TW1_VERSION << 4 | frame->flags);
    raw[1] = frame->type;
    raw[2] = (uint8_t)frame->seq;
    raw[3] = (uint8_t)(frame->seq >> 8);
    raw[4] = frame->boot;
    end = raw + 5 + frame->size;
    crc = tw1_crc32(0, raw, (size_t)(end - raw));
    for (at = end + 4; end != at; crc >>= 8) {
        *end++ = (uint8_t)crc;
    }
    *end = 0;
    /* raw is too short for a code of 255, so every code stands where a zero was. */
    for (at = raw; at <= end; at++) {
        if (*at == 0) {
            *code = (uint8_t)(at - code);
            code = at;
        }
    }
    return (size_t)(end + 1 - wire);
}

/* Decode in place the bytes held: 1..TW1_MAX_CHUNK of them, none zero. */
static tw1_event decode(uint8_t *held, size_t size, tw1_frame *frame)
{
    size_t at = 0;

    do {
        size_t step = held[at];
        held[at] = 0;
        at += step; /* a code of 255 steps past any end */
    } while (at < size);
    if (at != size) {
        return TW1_BAD_COBS;
    }
    if (size < SHORTEST_CHUNK) {
        return TW1_BAD_SHORT;
    }
    if (tw1_crc32(0, held + 1, size - 1) != RESIDUE) {
        return TW1_BAD_CRC;
    }
    if (held[1] >> 4 != TW1_VERSION) {
        return TW1_BAD_VERSION;
    }
    frame->flags = held[1] & 15;
    frame->type = held[2];
    frame->seq = (uint16_t)(held[3] | held[4] << 8);
    frame->boot = held[5];
    frame->payload = held + 6;
    frame->size = (uint8_t)(size - SHORTEST_CHUNK);
    return TW1_FRAME;
}

tw1_event tw1_receive(tw1_decoder *decoder, uint8_t byte, tw1_frame *frame)
{
    unsigned state = decoder->state;
    unsigned size = decoder->size;
    tw1_event event = TW1_NOTHING;

    if (byte != 0) {
        if ((state & SKIPPING) != 0) {
            return TW1_NOTHING;
        }
        if (size < TW1_MAX_CHUNK) {
            decoder->held[size] = byte;
            decoder->size = (uint8_t)(size + 1);
            return TW1_NOTHING;
        }
        event = TW1_BAD_OVERFLOW;
        frame->size = TW1_MAX_CHUNK + 1;
    } else if ((state & SKIPPING) != 0) {
        state = AFTER_DAMAGE;
    } else if (size != 0) {
        frame->size = (uint8_t)size;
        event = decode(decoder->held, size, frame);
    } else {
        state = 0;
    }
    decoder->size = 0;
    if (event == TW1_FRAME) {
        state = 0;
    } else if (event != TW1_NOTHING) {
        unsigned before = state;
        state = AFTER_DAMAGE;
        if (event == TW1_BAD_OVERFLOW) {
            state |= SKIPPING;
        }
        if ((before & JOINED) != 0) {
            event = TW1_BAD_PARTIAL;
        }
        if ((before & AFTER_DAMAGE) != 0) {
            event = TW1_NOTHING;
        }
    }
    decoder->state = (uint8_t)state;
    return event;
}

size_t tw1_receive_some(tw1_decoder *decoder, const uint8_t *data, size_t size,
                        tw1_event *event, tw1_frame *frame)
{
    size_t taken = 0;

    *event = TW1_NOTHING;
    while (taken < size && *event == TW1_NOTHING) {
        *event = tw1_receive(decoder, data[taken++], frame);
    }
    return taken;
}

size_t tw1_decoder_reset(tw1_decoder *decoder)
{
    size_t forgotten = decoder->size;

    decoder->size = 0;
    decoder->state = JOINED;
    return forgotten;
}
