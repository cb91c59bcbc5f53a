#ifndef RUNSTREAM_BYTES_H
#define RUNSTREAM_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes that grow. When memory runs out they say so in `failed`, and take nothing more. */
typedef struct {
    uint8_t *data;
    size_t size, room;
    bool failed;
} Bytes;

/* Makes room for `size` more bytes and returns where they go; NULL when memory ran out. */
uint8_t *extend(Bytes *bytes, size_t size);

void put(Bytes *bytes, const void *data, size_t size);
void put_u8(Bytes *bytes, uint8_t value);
void put_u32(Bytes *bytes, uint32_t value);
void put_i64(Bytes *bytes, int64_t value);

#endif
