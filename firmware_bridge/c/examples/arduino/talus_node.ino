// A TW1 node on an Arduino-class board: two analog inputs, twice a second, over Serial.
//
// Copy tw1*.h and tw1*.c of firmware_bridge/c beside this sketch, change `channels` and `measure`,
// upload, and give the gateway the port. 2 KB of RAM (Uno, Nano) are enough.
#include <EEPROM.h>

#include "tw1_node.h"
#if defined(__AVR__)
#include <avr/wdt.h>
#endif

enum { CRACK, TEMPERATURE, CHANNELS };
enum { BOOTS_AT = 0 };   // EEPROM address of the count of starts
enum { KEPT_BYTES = 480 };  // 40 samples of 12 bytes: 20 s that the gateway may miss

// name, quantity, unit, how it is packed, x 10^, ms between samples, least, greatest value
static const tw1_channel channels[CHANNELS] = {
  { "crack", TW1_CRACK_WIDTH, TW1_MM, TW1_I16, -2, 500, 0.0f, 50.0f },
  { "temperature", TW1_TEMPERATURE, TW1_DEG_C, TW1_I16, -1, 500, -40.0f, 85.0f },
};

static tw1_identity identity;
static tw1_node node;
static uint8_t memory[KEPT_BYTES];
static uint8_t wire[TW1_MAX_WIRE];
static uint64_t due_us;

// Microseconds since boot in 64 bits: micros() wraps after 71 minutes.
static uint64_t now_us() {
  static uint32_t last, wraps;
  uint32_t now = micros();
  if (now < last) wraps++;
  last = now;
  return static_cast<uint64_t>(wraps) << 32 | now;
}

static void measure(tw1_value *values, uint8_t *valid) {
  int crack = analogRead(A0);
  int warmth = analogRead(A1);
  values[CRACK].i = static_cast<int32_t>(crack) * 5000 / 1023;  // 0..50 mm in 0.01 mm
  valid[CRACK] = crack > 0 && crack < 1023;                     // at its end: a cut cable
  values[TEMPERATURE].i = static_cast<int32_t>(warmth) * 5000 / 1023 - 500;  // TMP36, 0.1 degC
  valid[TEMPERATURE] = warmth > 0 && warmth < 1023;
}

static void send_all() {
  size_t size;
  while ((size = tw1_node_next(&node, now_us(), wire)) != 0) Serial.write(wire, size);
}

static void restart() {
  Serial.flush();
#if defined(__AVR__)
  wdt_enable(WDTO_15MS);
  for (;;) {}
#elif defined(NVIC_SystemReset) || defined(__arm__)
  NVIC_SystemReset();
#endif
}

void setup() {
#if defined(__AVR__)
  wdt_disable();  // it stays on over the restart that it caused
#endif
  Serial.begin(115200);
  uint8_t boot = EEPROM.read(BOOTS_AT) + 1;
  EEPROM.write(BOOTS_AT, boot);
  uint32_t boot_id = boot;  // and the noise of an open input, for boots 256 apart
  for (uint8_t i = 0; i < 16; i++) boot_id = boot_id * 33 ^ static_cast<uint32_t>(analogRead(A2));

  identity.channels = channels;
  identity.channel_count = CHANNELS;
  identity.uid[7] = 1;  // one of its own for each board
  identity.firmware[0] = 1;
  tw1_node_begin(&node, &identity, memory, sizeof memory, boot, boot_id, 0, 0);
  node.period_ms = 500;
}

void loop() {
  uint64_t now = now_us();
  while (Serial.available() > 0) {
    uint8_t byte = static_cast<uint8_t>(Serial.read());
    if (tw1_node_receive(&node, byte, now_us())) send_all();
  }
  uint64_t period_us = node.period_ms * 1000ULL;
  if (now >= due_us || due_us - now > period_us) {
    tw1_value values[CHANNELS];
    uint8_t valid[CHANNELS];
    due_us = now + period_us;
    measure(values, valid);
    tw1_node_sample(&node, now, values, valid);
  }
  send_all();
  if (node.restart != TW1_STAY) restart();
}
