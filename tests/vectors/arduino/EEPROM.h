#pragma once
#include <stdint.h>

struct HostEeprom {
  uint8_t cell = 255;  // as it comes from the factory
  uint8_t read(int) { return cell; }
  void write(int, uint8_t value) { cell = value; }
};
static HostEeprom EEPROM;
