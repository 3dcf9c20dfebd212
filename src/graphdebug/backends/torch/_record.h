/* What the parts of the compiled recorder share: words, the fields of records and traces, and what each does for others. */
#ifndef GRAPHDEBUG_RECORD_H
#define GRAPHDEBUG_RECORD_H
#include "../_native.h"

/* The words used here, as strings of Python's. */
#define FOR_WORDS(DO)                                                                                                   \
    DO(VERSION, "_version") DO(SHAPE, "shape") DO(DTYPE, "dtype") DO(IS_CPU, "is_cpu")                                  \
    DO(IS_CONTIGUOUS, "is_contiguous") DO(STRIDE, "stride") DO(NAN_COUNT, "nan") DO(POS_INF, "pos_inf")                 \
    DO(NEG_INF, "neg_inf") DO(EXECUTED, "executed") DO(EAGER, "eager") DO(PARAMETER, "parameter")                       \
    DO(BUFFER, "buffer") DO(NUMEL, "numel") DO(MUTED, "muted") DO(STEP_ENDED, "step_ended")                             \
    DO(OPTIMIZING, "optimizing") DO(RUNNING_MODULE, "module") DO(SEQUENCE_NR, "_sequence_nr") DO(NODE, "node")          \
    DO(NODE_NAME, "node_name") DO(NODE_FORWARD, "node_forward") DO(NAME_OF, "name") DO(OWNERS, "owners")                \
    DO(OWNER_ELSEWHERE, "_owner_elsewhere") DO(ACCUMULATED, "_accumulated") DO(ACCUMULATE_GRAD, "AccumulateGrad")       \
    DO(ENGINE_TASK, "engine_task") DO(ENGINE_PLACE, "engine_place") DO(PLACE_OF_BACKWARD, "_place_of_backward")         \
    DO(PLACE_OF_STEP, "place") DO(LAST_NUMBER, "last_number") DO(NOTE_WRITES, "_note_writes")                           \
    DO(CLAIM_FROM_COPY, "_claim_from_copy") DO(RECOMPUTE, "recompute") DO(BACKWARD_CALLED, "backward called")           \
    DO(CHECKPOINTED, "forward checkpointed") DO(LAYOUT, "layout") DO(TRAITS, "traits") DO(CALL, "call")                 \
    DO(ATTACHED, "attached") DO(OPENED, "_opened") DO(CLOSED, "_closed") DO(REFUSED, "_refused") DO(FULL, "_full")      \
    DO(VARIABLE, "variable") DO(UNTYPED_STORAGE, "untyped_storage") DO(CDATA, "_cdata") DO(WRITTEN_OF, "written")       \
    DO(APPEND_TO, "append") DO(WHOLE, "whole") DO(IS_FLOATING, "is_floating_point")
FOR_WORDS(DECLARE)

enum { SEQ, STEP, OP, PHASE, PLACE, MODULE_PATH, TRACES, STATICS, FORWARD_SEQ, NAME, LEAF, THREAD, BEGAN, ENDED, OUTPUTS,
       ALIAS, EXECUTION, MODE, FIELDS };                                         /* of a Raw (nodes.py) */
enum { AS_VIEW = 1, IN_PLACE = 2, NOT_BORN = 4, AS_OTHER = 8, STEP_END = 16, WANTED = 32, ADOPTS = 64, COUNTS = 128,
       CASTS = 256 }; /* the traits of an op (ops.py) */
enum { T_WAY, T_VERSION, T_SEQ, T_OUTPUT, T_KIND, T_LOOK, T_NAMED, TRACE_FIELDS }; /* of a Trace (origins.py) */

/* What is to be known of a plain tensor to look at its elements; `type` is the kernel's number, -1 where it can't read it. */
typedef struct {
    const char *data;
    int64_t count;
    int axes, type;
} Seen;

/* DLPack's DLTensor. */
typedef struct {
    void *data;
    int32_t device, device_number, axes;
    uint8_t code, bits;
    uint16_t lanes;
    int64_t *sizes, *strides;
    uint64_t offset;
} Described;

/* What a way back to a tensor leads to (a new reference). */
PyObject *find_way(PyObject *way);

/* The kind of any tensor. */
PyObject *kind_in(PyObject *kinds, PyObject *tensor, Seen *seen);

extern PyType_Spec CLERK;
#endif
