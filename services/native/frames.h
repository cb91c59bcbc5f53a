/* Has Python compress bytes. */

#ifndef RUNSTREAM_FRAMES_H
#define RUNSTREAM_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "interpreter.h"

/* What Python compressed. */
typedef struct {
    PyObject *list;
    Py_buffer *frames;
    size_t count;
} Frames;

/* Returns the list with these bytes, or NULL and no list. */
PyObject *appended(PyObject *list, const uint8_t *data, size_t size);

/* Has each of a list compressed, which is used up. */
bool compress_all(Frames *frames, PyObject *list, PyObject *compress, bool fast);

void free_frames(Frames *frames);

#endif
