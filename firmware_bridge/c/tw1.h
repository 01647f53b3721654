/* TW1 framing: COBS between zero bytes, CRC-32 at the end. Any bytes in, frames out.
 *
 *   wire = 0x00 | COBS(raw) | 0x00
 *   raw  = u8 version<<4|flags  u8 type  u16 seq  u8 boot  payload[0..244]  u32 crc32
 *
 * All little-endian. No malloc, no state but what you hand in, nothing of libc but string.h.
 * The wire is described in docs/tw1.md; the gateway's side is firmware_bridge/framing.py.
 */
#ifndef TW1_H
#define TW1_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TW1_VERSION 1
#define TW1_MAX_PAYLOAD 244
#define TW1_MAX_RAW 253
#define TW1_MAX_CHUNK 254 /* bytes between two zeros, at most */
#define TW1_MAX_WIRE 256  /* bytes of a whole frame with its zeros, at most */
#define TW1_PAYLOAD_AT 7  /* where a payload begins in the buffer given to tw1_encode */

enum { TW1_ACK_REQ = 1, TW1_RESPONSE = 2, TW1_ERROR = 4, TW1_RESERVED = 8 }; /* flags */

/* What a byte brought: mostly nothing, a frame, or why the bytes up to it are none. */
typedef enum {
    TW1_NOTHING,
    TW1_FRAME,
    TW1_BAD_COBS,     /* the byte stuffing does not add up */
    TW1_BAD_SHORT,    /* shorter than any frame */
    TW1_BAD_CRC,      /* the checksum does not match */
    TW1_BAD_VERSION,  /* a version of TW1 that is not spoken here */
    TW1_BAD_OVERFLOW, /* no zero where the longest frame would have ended */
    TW1_BAD_PARTIAL   /* the rest of a frame that began before tw1_decoder_reset */
} tw1_event;

typedef struct {
    const uint8_t *payload; /* `size` bytes */
    uint16_t seq;           /* the sender's running number; a reply has that of its request */
    uint8_t flags;          /* 0..15 */
    uint8_t type;           /* see tw1_messages.h */
    uint8_t boot;           /* starts of the node, modulo 256 */
    uint8_t size;           /* bytes of payload, 0..244 */
} tw1_frame;

/* 256 bytes. All zero is a good start; keep out of it otherwise. */
typedef struct {
    uint8_t held[TW1_MAX_CHUNK];
    uint8_t size;  /* bytes held */
    uint8_t state; /* bits, see tw1.c */
} tw1_decoder;

/* CRC-32/ISO-HDLC of `size` bytes, going on from `crc` (0 to begin). */
uint32_t tw1_crc32(uint32_t crc, const uint8_t *data, size_t size);

/* Write a frame into `wire`, which has room for frame->size + 12 bytes; gives how many were
 * written, 0 where size is above 244 or flags above 15. The payload may lie anywhere, so also
 * already in its place, wire + TW1_PAYLOAD_AT. */
size_t tw1_encode(uint8_t *wire, const tw1_frame *frame);

/* Take one byte. On TW1_FRAME `frame` is whole and its payload lies in the decoder, good until
 * the next byte that is not zero. On TW1_BAD_* frame->size is the bytes between the zeros (255 for
 * an overflow) and nothing else in it means anything. One damage is told once: frames are parted
 * by two zeros, and where a flipped bit makes a zero inside a frame, its second half is parted by
 * one and is the same damage. */
tw1_event tw1_receive(tw1_decoder *decoder, uint8_t byte, tw1_frame *frame);

/* Take bytes up to the first that brings something; gives how many were taken, and in `event`
 * what they brought (TW1_NOTHING: all were taken). Go on with the rest. */
size_t tw1_receive_some(tw1_decoder *decoder, const uint8_t *data, size_t size,
                        tw1_event *event, tw1_frame *frame);

/* Forget the half frame, as the line was opened anew; gives the bytes forgotten. What comes before
 * the next zero is then "partial" where it is no frame: somebody was speaking already. */
size_t tw1_decoder_reset(tw1_decoder *decoder);

#ifdef __cplusplus
}
#endif
#endif
