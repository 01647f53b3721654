// As much of Arduino as the sketch uses, for a host: Serial is stdin and stdout.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { A0, A1, A2 };

uint32_t micros();
int analogRead(int pin);

struct HostSerial {
  void begin(long) {}
  int available() { return !feof(stdin) && peeked() != EOF; }
  int read() { return fgetc(stdin); }
  void write(const uint8_t *bytes, size_t size) { fwrite(bytes, 1, size, stdout); }
  void flush() { fflush(stdout); }

 private:
  int peeked() {
    int byte = fgetc(stdin);
    ungetc(byte, stdin);
    return byte;
  }
};
extern HostSerial Serial;
