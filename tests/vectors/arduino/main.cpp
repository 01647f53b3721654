// setup, then ten seconds of loop: 5 ms go by in each. micros() wraps on the way.
#include "Arduino.h"

HostSerial Serial;
static uint32_t now = 0xFFFFFFFFu - 5000000u;

uint32_t micros() { return now; }
int analogRead(int pin) { return pin == A0 ? 511 : 153; }
void setup();
void loop();

int main() {
  setup();
  for (int i = 0; i < 2000; i++) {
    loop();
    now += 5000;
  }
  return 0;
}
