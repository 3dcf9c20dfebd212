/* What the parts of TensorFlow's compiled recorder share: words, the fields of what Python keeps, and the stencils. */
#ifndef GRAPHDEBUG_TENSORFLOW_RECORD_H
#define GRAPHDEBUG_TENSORFLOW_RECORD_H
#include "../_native.h"

/* The words used here, as strings of Python's. */
#define FOR_WORDS(DO)                                                                                                   \
    DO(ALIAS_OF, "alias_of") DO(STATS, "stats") DO(FINITE, "finite") DO(UNCHECKED, "unchecked") DO(SHAPE, "shape")       \
    DO(DTYPE, "dtype") DO(DEVICE, "device") DO(TENSOR_ID, "_id") DO(SHAPE_TUPLE, "_shape_tuple")                         \
    DO(DATATYPE, "_datatype_enum") DO(YOUNG, "_young") DO(GET, "get") DO(BUSY, "busy") DO(SCOPE_NAME, "scope_name")      \
    DO(DIFFERENTIATED, "_differentiated") DO(UPDATED, "_updated") DO(FORWARD_OF, "forward_of") DO(NODE, "node")          \
    DO(UNKNOWN, "unknown") DO(VARIABLE, "variable") DO(FACT, "fact") DO(PLAIN, "plain") DO(KIND, "kind")                 \
    DO(MADE_OF, "made_of") DO(LEARN, "learn") DO(FULL, "full") DO(SEEN, "seen") DO(TOOL_ERROR, "failed")                 \
    DO(GRADIENT_FUNCTION, "_gradient_function") DO(GRADIENT, "gradient_function")                     \
    DO(VIEWED, "viewed") DO(ARGUMENT, "argument") DO(CONSTANT, "constant") DO(TARGETS, "targets") DO(VISITED, "visited") DO(OLD, "_old")
FOR_WORDS(DECLARE)

enum { O_NAME, O_TRAITS, O_FUNCTION, O_FAMILY, O_ARGUMENTS }; /* of an Op (eager.py) */
enum { M_FACT, M_ORIGIN, M_SEQ, M_OUTPUT, M_NAME, M_KIND, MADE_FIELDS }; /* of a Made (ledger.py) */
enum { R_OP, R_INPUTS, R_FUNCTION, R_FAMILY, RAN_FIELDS };   /* of a Ran (ledger.py) */

/* What is known of a tensor: the fact, the same without what differs from step to step, and the text of its statistics where
 * that is at hand. */
typedef struct {
    PyObject *fact, *kind, *text;
} Known;

/* One execution, as far as its line needs it; all borrowed. */
#define MOST_OUTPUTS 12
typedef struct {
    PyObject *op, *phase, *site, *function, *family, *module, *forward, *seq, *step, *made, *inputs, *attrs;
    Known outputs[MOST_OUTPUTS];
    Py_ssize_t count;
    double time;
} Execution;

/* Stencils by what their nodes have in common. */
typedef struct {
    Table known; /* key -> [way, ...] */
    PyObject *encode;
    Text lines;        /* written and not yet taken */
    Py_ssize_t count;  /* how many */
} Stencils;

#define MOST_TENSORS 24
typedef struct {
    uint64_t words[7 + 4 * MOST_TENSORS];
    PyObject *held[6 + 3 * MOST_TENSORS]; /* what words are the addresses of */
    int length, holds;
} Key;

/* The key of an execution; 0 where it has too many tensors, -1 at an error. */
int key_of(Key *key, const Execution *it);
/* The stencil of an execution (borrowed); NULL without an error where there is none. */
PyObject *stencil_of(Stencils *self, const Key *key, const Execution *it);
int learn_stencil(Stencils *self, const Key *key, PyObject *way);
int write_line(Stencils *self, const Execution *it, PyObject *way);
int add_line(Stencils *self, PyObject *line, Py_ssize_t count);

extern PyType_Spec CLERK_TYPE;
#endif
