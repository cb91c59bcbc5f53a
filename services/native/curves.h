#ifndef RUNSTREAM_CURVES_H
#define RUNSTREAM_CURVES_H

#include "interpreter.h"

PyObject *encode_curves(PyObject *module, PyObject *arguments);

#endif
