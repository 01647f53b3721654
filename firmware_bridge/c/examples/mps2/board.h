/* What the node needs of its board: a line, a clock, a restart. */
#ifndef BOARD_H
#define BOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REGISTER(address) (*(volatile uint32_t *)(uintptr_t)(address))

void uart_begin(uint32_t baud);
/* Give the next byte that came; false if there is none. */
bool uart_get(uint8_t *byte);
/* Send bytes; returns once the last is on its way. */
void uart_put(const uint8_t *bytes, size_t size);
void uart_received(void);

void clock_begin(void);
/* Microseconds since boot; never goes back. */
uint64_t now_us(void);
void clock_tick(void);

/* Sleep until the next byte or tick, unless there is a byte already. */
void rest(void);
void restart(void);
/* Least free stack so far, bytes. */
uint16_t free_stack(void);

#endif
