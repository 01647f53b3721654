/* Drivers: CMSDK UART 0 (received by interrupt), SysTick, reset. Cortex-M3 at 25 MHz. */
#include "board.h"

#define CPU_HZ 25000000u
#define TICKS_PER_US (CPU_HZ / 1000000u)
#define TICK_US 10000u

#define UART_DATA REGISTER(0x40004000)
#define UART_STATE REGISTER(0x40004004)
#define UART_CTRL REGISTER(0x40004008)
#define UART_INTSTATUS REGISTER(0x4000400C)
#define UART_BAUDDIV REGISTER(0x40004010)
enum { TX_FULL = 1, RX_FULL = 2 };                              /* STATE */
enum { TX_ENABLE = 1, RX_ENABLE = 2, RX_INTERRUPT_ENABLE = 8 }; /* CTRL */
enum { RX_INTERRUPT = 2 };                                      /* INTSTATUS */

#define SYST_CSR REGISTER(0xE000E010)
#define SYST_RVR REGISTER(0xE000E014)
#define SYST_CVR REGISTER(0xE000E018)
#define NVIC_ISER REGISTER(0xE000E100)
#define SCB_ICSR REGISTER(0xE000ED04)
#define SCB_AIRCR REGISTER(0xE000ED0C)
#define TICK_PENDING (1u << 26)

#define HELD 512u /* power of two: a whole frame comes while one is sent */

static volatile uint8_t held[HELD];
static volatile uint32_t held_in;
static uint32_t held_out;
static volatile uint64_t ticks;

void uart_begin(uint32_t baud)
{
    UART_BAUDDIV = CPU_HZ / baud;
    UART_CTRL = TX_ENABLE | RX_ENABLE | RX_INTERRUPT_ENABLE;
    NVIC_ISER = 1u << 0;
    __asm volatile("cpsie i" ::: "memory");
}

void uart_received(void)
{
    UART_INTSTATUS = RX_INTERRUPT;
    while ((UART_STATE & RX_FULL) != 0) {
        uint8_t byte = (uint8_t)UART_DATA;

        if (held_in - held_out < HELD) { /* else it is lost, and its frame with it */
            held[held_in % HELD] = byte;
            held_in++;
        }
    }
}

bool uart_get(uint8_t *byte)
{
    if (held_out == held_in) {
        return false;
    }
    *byte = held[held_out % HELD];
    held_out++;
    return true;
}

void uart_put(const uint8_t *bytes, size_t size)
{
    while (size-- != 0) {
        while ((UART_STATE & TX_FULL) != 0) {
        }
        UART_DATA = *bytes++;
    }
}

void clock_begin(void)
{
    SYST_RVR = TICK_US * TICKS_PER_US - 1;
    SYST_CVR = 0;
    SYST_CSR = 7; /* processor clock, interrupt, go */
}

void clock_tick(void)
{
    ticks++;
}

uint64_t now_us(void)
{
    static uint64_t latest;
    uint64_t whole, now;
    uint32_t part;

    do { /* until no tick falls in between */
        whole = ticks;
        part = SYST_CVR;
    } while (whole != ticks || (SCB_ICSR & TICK_PENDING) != 0);
    now = whole * TICK_US + (TICK_US * TICKS_PER_US - 1 - part) / TICKS_PER_US;
    if (now > latest) {
        latest = now;
    }
    return latest;
}

void rest(void)
{
    __asm volatile("cpsid i" ::: "memory"); /* a byte that comes now still ends the sleep */
    if (held_out == held_in) {
        __asm volatile("wfi" ::: "memory");
    }
    __asm volatile("cpsie i" ::: "memory");
}

void restart(void)
{
    while ((UART_STATE & TX_FULL) != 0) {
    }
    SCB_AIRCR = 0x05FA0004u;
    for (;;) {
    }
}
