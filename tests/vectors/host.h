/* What the parts of host.c share. */
#ifndef HOST_H
#define HOST_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint8_t *bytes;
    size_t size;
} blob;

/* Bytes of hex, in memory of their exact size; "-": none. */
blob unhex(const char *text);
void put_hex(const uint8_t *bytes, size_t size);
/* The next word of the line; "" after the last. */
char *word(void);

void message(void);
void layout(void);
void data(void);

#endif
