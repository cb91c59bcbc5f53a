#ifndef RUNSTREAM_BATCH_H
#define RUNSTREAM_BATCH_H

#include "interpreter.h"

PyObject *read_batch(PyObject *module, PyObject *message);
PyObject *gather(PyObject *module, PyObject *arguments);

#endif
