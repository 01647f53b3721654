/* TW1 messages: payload bytes <-> structs, little-endian whatever the machine.
 *
 * tw1_put_X writes a payload and gives its size in bytes, 0 where a field does not fit.
 * tw1_get_X reads one and gives false, leaving the struct undefined, where it makes no sense;
 * every size that the other side states is checked. The tables are in docs/tw1.md, the codes of
 * quantities and units in firmware_bridge/reading.py. PING is any bytes, given back as they are.
 */
#ifndef TW1_MESSAGES_H
#define TW1_MESSAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { /* types */
    TW1_HELLO = 0x01,
    TW1_DESCRIBE = 0x02,
    TW1_SYNC = 0x10,
    TW1_PING = 0x20,
    TW1_GET_SET = 0x21,
    TW1_REBOOT = 0x22,
    TW1_ENTER_UPDATE = 0x23,
    TW1_DATA = 0x30,
    TW1_DATA_BATCH = 0x31,
    TW1_RESEND = 0x32,
    TW1_STATS = 0x3F
};
enum { /* keys of GET and SET; from TW1_OWN_KEYS on they are the node's own */
    TW1_PERIOD_MS = 1,
    TW1_SAMPLES_PER_FRAME = 2,
    TW1_SAMPLES_PER_STATS = 3,
    TW1_KEPT_SAMPLES = 4,
    TW1_OWN_KEYS = 128
};
enum { /* the one byte of an answer with TW1_ERROR: why not */
    TW1_UNKNOWN = 1,
    TW1_WRONG_SIZE = 2,
    TW1_NO_KEY = 3,
    TW1_OUT_OF_RANGE = 4,
    TW1_READ_ONLY = 5,
    TW1_NOT_NOW = 6,
    TW1_OTHER_BOOT = 7,
    TW1_GONE = 8
};
enum { TW1_I16, TW1_I32, TW1_U32, TW1_F32 }; /* dtypes */
enum { /* quantities */
    TW1_OTHER, TW1_DISPLACEMENT, TW1_TILT, TW1_CRACK_WIDTH, TW1_PORE_PRESSURE, TW1_RAINFALL,
    TW1_SOIL_MOISTURE, TW1_TEMPERATURE, TW1_BAROMETRIC_PRESSURE, TW1_BATTERY_VOLTAGE,
    TW1_ACCELERATION, TW1_WATER_LEVEL, TW1_FREQUENCY, TW1_RESISTANCE, TW1_QUANTITIES
};
enum { /* units */
    TW1_RAW, TW1_MM, TW1_M, TW1_MRAD, TW1_DEG, TW1_KPA, TW1_M3_M3, TW1_DEG_C, TW1_V, TW1_HZ,
    TW1_OHM, TW1_MM_PER_H, TW1_TIPS, TW1_DIGITS, TW1_UNITS
};

#define TW1_MAX_CHANNELS 64
#define TW1_MAX_NAME 16
#define TW1_MAX_EXP10 30
#define TW1_MAX_RESEND 256 /* samples asked for at once */

typedef struct {
    uint32_t boot_id; /* drawn anew at each boot */
    uint16_t schema;  /* low 16 bits of the CRC-32 of all DESCRIBE payloads in order */
    uint16_t max_raw; /* longest raw frame the node takes, bytes */
    uint8_t uid[8];
    uint8_t firmware[3];
    uint8_t image_hash[8]; /* first bytes of the hash of the running image */
    uint8_t reset_cause;
} tw1_hello;

size_t tw1_put_hello(uint8_t *payload, const tw1_hello *hello);
bool tw1_get_hello(tw1_hello *hello, const uint8_t *payload, size_t size);

/* One channel. A value is the packed number x 10^exp10, in `unit`. */
typedef struct {
    char name[TW1_MAX_NAME + 1]; /* 1..16 printable ASCII characters */
    uint8_t quantity;
    uint8_t unit;
    uint8_t dtype;
    int8_t exp10;       /* -30..30 */
    uint32_t period_ms; /* time between samples, 0 where not stated */
    float low;          /* least value the sensor gives, in `unit`; as high where not stated */
    float high;
} tw1_channel;

/* Channel `index` of `count`. An unknown quantity or unit reads as TW1_OTHER or TW1_RAW; low and
 * high that are not stated read as minus and plus infinity. */
size_t tw1_put_describe(uint8_t *payload, uint8_t index, uint8_t count,
                        const tw1_channel *channel);
bool tw1_get_describe(uint8_t *index, uint8_t *count, tw1_channel *channel,
                      const uint8_t *payload, size_t size);

/* Times in microseconds: t1 of the gateway; t2 received and t3 sent, of the node since boot.
 * A request has t1 alone: tw1_put_u64, tw1_get_sync_request. */
typedef struct {
    uint64_t t1_us;
    uint64_t t2_us;
    uint64_t t3_us;
} tw1_sync;

bool tw1_get_sync_request(uint64_t *t1_us, const uint8_t *payload, size_t size);
size_t tw1_put_sync(uint8_t *payload, const tw1_sync *sync);
bool tw1_get_sync(tw1_sync *sync, const uint8_t *payload, size_t size);

/* GET (neither), SET (both), the answer to GET (has_value), to SET (both). */
typedef struct {
    uint32_t value;
    uint8_t key;
    bool has_value;
    bool is_set;
} tw1_setting;

size_t tw1_put_setting(uint8_t *payload, const tw1_setting *setting);
bool tw1_get_setting(tw1_setting *setting, const uint8_t *payload, size_t size);

/* REBOOT and ENTER_UPDATE name the boot they end. */
bool tw1_get_reboot(uint32_t *boot_id, const uint8_t *payload, size_t size);
bool tw1_get_enter_update(uint32_t *boot_id, uint8_t *mode, const uint8_t *payload, size_t size);
size_t tw1_put_enter_update(uint8_t *payload, uint32_t boot_id, uint8_t mode);

/* RESEND and its answer: sample indices, both included, modulo 2^32. */
typedef struct {
    uint32_t first;
    uint32_t last;
} tw1_span;

size_t tw1_put_span(uint8_t *payload, const tw1_span *span);
bool tw1_get_span(tw1_span *span, const uint8_t *payload, size_t size);

typedef struct {
    uint32_t ok;       /* frames received */
    uint32_t crc;      /* damaged: crc, cobs, short */
    uint32_t format;   /* whole, but of another version */
    uint32_t overflow;
    uint16_t free_stack; /* least seen, bytes */
    uint16_t battery_mv; /* 0 where not measured */
} tw1_stats;

size_t tw1_put_stats(uint8_t *payload, const tw1_stats *stats);
bool tw1_get_stats(tw1_stats *stats, const uint8_t *payload, size_t size);

/* What DATA and DATA_BATCH begin with. */
typedef struct {
    uint64_t t_us;  /* of the first sample, us since boot */
    uint32_t index; /* of the first sample */
    uint32_t dt_us; /* between samples; 0 in DATA */
    uint16_t schema;
    uint8_t rows;   /* samples; 1 in DATA */
} tw1_data;

#define TW1_DATA_HEAD 14  /* bytes before the rows */
#define TW1_BATCH_HEAD 19

size_t tw1_put_data(uint8_t *payload, const tw1_data *data);
size_t tw1_put_batch(uint8_t *payload, const tw1_data *data);
/* `row_size` is that of the layout whose schema the payload states (its first two bytes). */
bool tw1_get_data(tw1_data *data, const uint8_t *payload, size_t size, size_t row_size);
bool tw1_get_batch(tw1_data *data, const uint8_t *payload, size_t size, size_t row_size);

typedef union {
    int32_t i; /* TW1_I16, TW1_I32 */
    uint32_t u;
    float f;
} tw1_value;

/* A row is a valid bitmap and the packed numbers of all channels. Size in bytes, 0 where there are
 * no channels, or too many, or one of no known dtype, or where a DATA of it would not fit. */
size_t tw1_row_size(const tw1_channel *channels, uint8_t count);
/* valid[i] 0: channel i is not valid; NULL: all are. A number that its dtype cannot hold, or that
 * is infinite or none, is sent as not valid too. */
size_t tw1_put_row(uint8_t *row, const tw1_channel *channels, uint8_t count,
                   const tw1_value *values, const uint8_t *valid);
void tw1_get_row(tw1_value *values, uint8_t *valid, const tw1_channel *channels, uint8_t count,
                 const uint8_t *row);

/* Write little-endian; give the place after it. */
uint8_t *tw1_put_u16(uint8_t *to, uint16_t value);
uint8_t *tw1_put_u32(uint8_t *to, uint32_t value);
uint8_t *tw1_put_u64(uint8_t *to, uint64_t value);
uint16_t tw1_get_u16(const uint8_t *from);
uint32_t tw1_get_u32(const uint8_t *from);
uint64_t tw1_get_u64(const uint8_t *from);

#ifdef __cplusplus
}
#endif
#endif
