/* A TW1 node: takes bytes and samples, gives frames. No I/O, no clock, no malloc: the memory is
 * yours and time is an argument (microseconds since boot, u64).
 *
 *   while (uart_get(&byte)) {
 *       if (tw1_node_receive(&node, byte, now_us())) { send_all(); }
 *   }
 *   if (sample is due) { tw1_node_sample(&node, now_us(), values, NULL); }
 *   send_all();    // while ((size = tw1_node_next(&node, now_us(), wire)) != 0) uart_put(wire, size);
 *   if (node.restart != TW1_STAY) { once the last byte is out, restart }
 */
#ifndef TW1_NODE_H
#define TW1_NODE_H

#include "tw1.h"
#include "tw1_messages.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { TW1_STAY, TW1_TO_REBOOT, TW1_TO_BOOT_LOADER }; /* node.restart */

#define TW1_KEPT_COST 8 /* bytes of memory a kept sample takes beside its row */

/* Who the node is; const, in flash. */
typedef struct {
    const tw1_channel *channels;
    uint8_t channel_count; /* 1..64 */
    uint8_t uid[8];
    uint8_t firmware[3];
    uint8_t image_hash[8];
    bool has_boot_loader; /* ENTER_UPDATE is known */
    /* The node's own settings, keys 128..255; NULL where there are none. Reads into or writes from
     * `value`; gives 0 or the code of the refusal, such as TW1_NO_KEY. */
    uint8_t (*own_setting)(void *context, uint8_t key, uint32_t *value, bool is_set);
    void *context;
} tw1_identity;

/* Fields marked * are yours to read or set at any time; keep out of the others. */
typedef struct {
    const tw1_identity *identity;
    tw1_stats stats;     /* * free_stack and battery_mv are yours to set */
    uint32_t period_ms;  /* * time between samples, as it was set last */
    uint32_t per_frame;  /* * samples a frame */
    uint32_t per_stats;  /* * samples between two STATS, 0 never */
    uint32_t boot_id;    /* * */
    uint32_t next_index; /* * index of the next sample: keep it across a restart if you can */
    uint8_t boot;        /* * */
    bool not_now;        /* * true: a restart is refused (battery low, busy writing) */
    uint8_t restart;     /* * TW1_STAY, or what to do once everything given was sent */

    tw1_decoder decoder;
    tw1_frame asked; /* the request to answer, its payload in the decoder */
    uint64_t asked_us;
    uint8_t *memory; /* a ring of samples: u64 t_us, row */
    size_t capacity; /* samples that fit in it */
    size_t kept;     /* samples in it */
    size_t head;     /* slot of the next */
    size_t unsent;   /* the newest so many have not been sent yet */
    tw1_span resend; /* still to be sent again */
    size_t row_size;
    uint32_t last_crc; /* the last request carried out: */
    uint16_t last_seq;
    uint8_t last_type; /* 0: none */
    uint8_t answer_size;
    uint8_t answer[6];
    uint16_t schema;
    uint16_t seq;
    uint8_t reset_cause;
    bool has_asked, data_due, hello_due, stats_due, resending;
} tw1_node;

/* Begin a boot. `memory` keeps samples for RESEND: (8 + row) bytes each, for at least one and, if
 * batches are wanted, for a whole batch. `boot` counts the starts of the node (kept in RAM that
 * outlives a reset, or in flash), `boot_id` is drawn anew at each, `next_index` is where samples go
 * on. false: channels that make no layout, or too little memory. */
bool tw1_node_begin(tw1_node *node, const tw1_identity *identity, uint8_t *memory,
                    size_t memory_size, uint8_t boot, uint32_t boot_id, uint32_t next_index,
                    uint8_t reset_cause);

/* Take one byte that came at `now_us`. true: a request is whole; call tw1_node_next until it gives
 * 0 before the next byte, or the request is dropped as though it had been lost on the line. */
bool tw1_node_receive(tw1_node *node, uint8_t byte, uint64_t now_us);

/* Take one sample, measured at `t_us`: a number for each channel, and valid[i] 0 where channel i
 * has none (NULL: all have). */
void tw1_node_sample(tw1_node *node, uint64_t t_us, const tw1_value *values,
                     const uint8_t *valid);

/* Write the next frame to send into `wire`, TW1_MAX_WIRE bytes; gives its size, 0 if there is none.
 * Requests are carried out here: at most one a call. `now_us` is when the frame leaves. */
size_t tw1_node_next(tw1_node *node, uint64_t now_us, uint8_t *wire);

#ifdef __cplusplus
}
#endif
#endif
