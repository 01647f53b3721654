/* What gcc calls even without a libc. */
#include <stdint.h>
#include <string.h>

void *memcpy(void *to, const void *from, size_t size)
{
    return memmove(to, from, size);
}

void *memmove(void *to, const void *from, size_t size)
{
    uint8_t *at = to;
    const uint8_t *source = from;

    if (at < source) {
        while (size-- != 0) {
            *at++ = *source++;
        }
    } else {
        while (size-- != 0) {
            at[size] = source[size];
        }
    }
    return to;
}

void *memset(void *to, int byte, size_t size)
{
    uint8_t *at = to;

    while (size-- != 0) {
        *at++ = (uint8_t)byte;
    }
    return to;
}

int memcmp(const void *a, const void *b, size_t size)
{
    const uint8_t *left = a;
    const uint8_t *right = b;

    for (; size != 0; size--, left++, right++) {
        if (*left != *right) {
            return *left < *right ? -1 : 1;
        }
    }
    return 0;
}
