/* The part of Python that is the same in all its versions from 3.11 on. */

#ifndef RUNSTREAM_INTERPRETER_H
#define RUNSTREAM_INTERPRETER_H

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#endif
