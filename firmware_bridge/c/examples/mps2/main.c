/* A whole node: three channels of a made-up slope, over TW1 on UART 0. */
#include "board.h"
#include "tw1_node.h"

#define BAUD 115200u
#define KEPT_SAMPLES 256 /* so long the gateway may be away without losing one */

enum { DISPLACEMENT, TILT, PORE_PRESSURE, CHANNELS };

static const tw1_channel channels[CHANNELS] = {
    {"displacement", TW1_DISPLACEMENT, TW1_MM, TW1_I32, -3, 1000, -500.0f, 500.0f},
    {"tilt", TW1_TILT, TW1_MRAD, TW1_I16, -2, 1000, -260.0f, 260.0f},
    {"pore_pressure", TW1_PORE_PRESSURE, TW1_KPA, TW1_F32, 0, 1000, -100.0f, 300.0f},
};
#define ROW (1 + 4 + 2 + 4)

static const tw1_identity identity = {
    .channels = channels,
    .channel_count = CHANNELS,
    .uid = {0, 'M', 'P', 'S', '2', 0, 0, 1}, /* a real board has one in its silicon */
    .firmware = {1, 0, 0},
    .image_hash = {0}, /* your build's: what the update tool looks for after flashing */
};

/* Outlives a reset (not a power cut, after which the magic is gone): see mps2.ld. */
#define MAGIC 0x54573101u
static struct {
    uint32_t magic;
    uint32_t boots;
    uint32_t next_index;
    uint32_t check;
} kept __attribute__((section(".noinit")));

static tw1_node node;
static uint8_t memory[KEPT_SAMPLES * (TW1_KEPT_COST + ROW)];
static uint8_t wire[TW1_MAX_WIRE];

static void keep(uint32_t next_index)
{
    kept.magic = MAGIC;
    kept.next_index = next_index;
    kept.check = ~(kept.boots ^ next_index);
}

static void send_all(void)
{
    size_t size;

    while ((size = tw1_node_next(&node, now_us(), wire)) != 0) {
        uart_put(wire, size);
    }
}

/* Instead of your ADC: a slope that creeps by 5 um a sample, and noise of +-20 um. */
static void measure(uint32_t index, tw1_value *values, uint8_t *valid)
{
    static uint32_t random = 1;
    int32_t noise_um;

    random = random * 1664525u + 1013904223u;
    noise_um = (int32_t)(random >> 16) % 41 - 20;
    values[DISPLACEMENT].i = (int32_t)(index % 80000) * 5 + noise_um; /* um */
    values[TILT].i = values[DISPLACEMENT].i / 100;                    /* 0.01 mrad */
    values[PORE_PRESSURE].f = 20.0f + 0.125f * (float)(index % 64);   /* kPa */
    valid[DISPLACEMENT] = valid[TILT] = 1;
    valid[PORE_PRESSURE] = index >= 3; /* the sensor warms up */
}

int main(void)
{
    bool warm = kept.magic == MAGIC && kept.check == ~(kept.boots ^ kept.next_index);
    uint64_t due_us = 0;
    uint32_t boot_id;

    kept.boots = warm ? kept.boots + 1 : 0;
    keep(warm ? kept.next_index : 0);
    clock_begin();
    uart_begin(BAUD);
    /* A real board draws it from the noise of its ADC, as the count is gone with the power. */
    boot_id = tw1_crc32(kept.boots, identity.uid, sizeof identity.uid);
    if (!tw1_node_begin(&node, &identity, memory, sizeof memory, (uint8_t)kept.boots, boot_id,
                        kept.next_index, warm ? 2 : 1)) {
        for (;;) { /* the channels make no layout: a mistake above */
            rest();
        }
    }
    for (;;) {
        uint64_t now = now_us();
        uint8_t byte;

        while (uart_get(&byte)) {
            if (tw1_node_receive(&node, byte, now_us())) {
                send_all();
            }
        }
        if (now >= due_us) {
            tw1_value values[CHANNELS];
            uint8_t valid[CHANNELS];

            due_us += node.period_ms * 1000ull;
            if (due_us <= now) { /* just set shorter, or we were busy */
                due_us = now + node.period_ms * 1000ull;
            }
            measure(node.next_index, values, valid);
            tw1_node_sample(&node, now, values, valid);
            keep(node.next_index);
            node.stats.free_stack = free_stack();
        } else if (due_us > now + node.period_ms * 1000ull) {
            due_us = now; /* the period was set shorter */
        }
        send_all();
        if (node.restart != TW1_STAY) {
            restart();
        }
        rest();
    }
}
