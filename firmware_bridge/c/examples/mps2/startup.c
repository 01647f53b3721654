/* Vectors and the way into main; the stack is painted, to see how far it was used. */
#include "board.h"

#define PAINT 0xA5A5A5A5u

extern uint32_t data_source[], data_begin[], data_end[], bss_begin[], bss_end[];
extern uint32_t stack_limit[], stack_top[];

int main(void);
void reset(void);
void hang(void);

void reset(void)
{
    uint32_t *from = data_source;
    uint32_t *to;
    uint32_t *here = __builtin_frame_address(0);

    for (to = data_begin; to < data_end; to++) {
        *to = *from++;
    }
    for (to = bss_begin; to < bss_end; to++) {
        *to = 0;
    }
    for (to = stack_limit; to < here - 16; to++) {
        *to = PAINT;
    }
    main();
    hang();
}

uint16_t free_stack(void)
{
    const uint32_t *at = stack_limit;

    while (at < stack_top && *at == PAINT) {
        at++;
    }
    return (uint16_t)((uintptr_t)at - (uintptr_t)stack_limit);
}

void hang(void)
{
    restart(); /* in the field: better anew than not at all */
}

typedef struct {
    uint32_t *stack;
    void (*entries[16 + 2 - 1])(void);
} vectors;

__attribute__((section(".vectors"), used)) static const vectors table = {
    stack_top,
    {
        reset, hang, hang, hang, hang, hang, 0, 0, 0, 0, hang, hang, 0, hang,
        clock_tick,    /* 15: SysTick */
        uart_received, /* interrupt 0: UART 0 */
        hang,
    },
};
