/* What runs at every op in place of `__torch_dispatch__` (eager.py): what is known before it, the op, what of its result.
 *
 * Where something is unusual Python does it from the start (`_opened`, `_closed`): what was changed until then is the
 * same when done twice.
 */
#include "_record.h"

enum { SINK, THREADS, MADE, PATHS, WALKER, READER, TENSOR, MARK, ENGINE_CALL, NEXT_SEQ, NODE_OF, NUMBER_OF, TASK_OF, CLOCK, LOOK,
       QUICK, MEASURE, KINDS, RAWS, APPEND, WATCHERS, OPS, OP_OF, LEFT, STATISTICS, WRITTEN, ROW, NEW_HISTORY, HELD };

typedef struct {
    PyObject_HEAD
    PyObject *held[HELD];
    const Looks *looks; /* the kernel's functions, NULL where Python looks or nobody */
    int level;          /* what of them: 1 whether all is finite, 2 statistics */
    int most;           /* records that may wait */
    unsigned long ident; /* the thread that ran the last op; what is known of it, and its number as an object */
    PyObject *state, *number;
} Clerk;

/* What is known of a tensor, also if it was written since; NULL if nothing is. */
static PyObject *known_of(PyObject *tensor, PyObject *made) {
    PyObject *key = PyLong_FromVoidPtr(tensor);
    PyObject *trace = key ? PyDict_GetItemWithError(made, key) : NULL;
    Py_XDECREF(key);
    PyObject *way = trace ? PyTuple_GetItem(trace, T_WAY) : NULL, *back;
    if (!way) return NULL;
    if (Py_TYPE(way) == &_PyWeakref_RefType) return PyWeakref_GetObject(way) == tensor ? kept(trace) : NULL;
    Py_INCREF(trace);
    back = find_way(way); /* a parameter: through its module */
    Py_XDECREF(back);
    if (back != tensor) Py_CLEAR(trace);
    return trace;
}

/* The trace of a tensor if it is known as it now is, else NULL. */
static PyObject *trace_of(PyObject *tensor, PyObject *made) {
    PyObject *trace = known_of(tensor, made), *version = trace ? PyObject_GetAttr(tensor, VERSION) : NULL;
    if (!version) {
        Py_XDECREF(trace);
        return NULL;
    }
    int same = PyLong_AsLongLong(version) == PyLong_AsLongLong(PyTuple_GetItem(trace, T_VERSION));
    Py_DECREF(version);
    if (!same) Py_CLEAR(trace);
    return trace;
}

/* ---- Opening a record. ---- */

typedef struct {
    Clerk *clerk;
    PyObject **held, *recorder, *op, *args, *kwargs, *frame; /* borrowed */
    PyObject *ident, *state, *running; /* the thread's number; attributes of what is known of it, and of the sink; owned */
    PyObject *phase, *place, *module, *path, *traces, *statics, *forward, *name, *leaf, *seq, *began; /* owned, or NULL */
    PyObject *adding; /* the autograd node that adds to a leaf's gradient */
    long traits;
} Opening;

static void forget(Opening *it) {
    PyObject *all[] = {it->ident,   it->state,   it->running, it->phase, it->place, it->module, it->path, it->traces,
                       it->statics, it->forward, it->name,    it->leaf,  it->seq,   it->began,  it->adding};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) Py_XDECREF(all[i]);
}

/* What is known of the running thread; 0 where Python is to make its acquaintance. */
static int find_thread(Opening *it) {
    Clerk *self = it->clerk;
    unsigned long ident = PyThread_get_thread_ident();
    if (!self->state || self->ident != ident) {
        PyObject *number = PyLong_FromUnsignedLong(ident);
        PyObject *thread = number ? PyDict_GetItemWithError(it->held[THREADS], number) : NULL;
        PyObject *state = thread ? attributes_of(thread) : NULL;
        if (!state) {
            Py_XDECREF(number);
            return 0;
        }
        Py_XDECREF(self->state);
        Py_XDECREF(self->number);
        self->ident = ident;
        self->state = state;
        self->number = number;
    }
    it->state = kept(self->state); /* another thread may come in between */
    it->ident = kept(self->number);
    return 1;
}

/* Whether the op is to be recorded as one of the running step. */
static int is_usual(Opening *it, PyObject *recorder) {
    if (!find_thread(it) || is_true(it->state, MUTED) || it->traits & STEP_END) return 0;
    if (is_true(recorder, STEP_ENDED) && is_true(it->state, OPTIMIZING) != 1) return 0;
    it->running = attributes_of(it->held[SINK]);
    return it->running && is_true(it->running, RECORDING) == 1;
}

static int read_stack(Opening *it, PyObject *phase, PyObject *checkpointed) {
    int again = 0, whole = walk(it->held[WALKER], it->frame, it->held[READER], &it->place, &it->module, &again) > 0;
    if (whole) it->phase = kept(again ? checkpointed : phase);
    return whole;
}

/* Whether an op comes straight from the engine, not from code of the user's that it calls. */
static int is_engines(Opening *it) {
    if (it->frame == Py_None) return 1;
    PyObject *code = (PyObject *)PyFrame_GetCode((PyFrameObject *)it->frame);
    Py_XDECREF(code);
    return code == it->held[ENGINE_CALL];
}

/* Where the running backward was called. */
static PyObject *backward_place(Opening *it) {
    PyObject *task = PyObject_CallNoArgs(it->held[TASK_OF]), *known = PyDict_GetItemWithError(it->state, ENGINE_TASK);
    PyObject *place = NULL;
    if (task && known && equal(task, known) == 1) {
        place = kept(PyDict_GetItemWithError(it->state, ENGINE_PLACE));
    } else if (task && known) {
        PyObject *thread = kept(PyDict_GetItemWithError(it->held[THREADS], it->ident));
        if (thread) place = PyObject_CallMethodObjArgs(it->recorder, PLACE_OF_BACKWARD, thread, it->frame, NULL);
        Py_XDECREF(thread);
    }
    Py_XDECREF(task);
    return place;
}

/* Name and forward node of an autograd node that begins to run. */
static int enter_node(Opening *it, PyObject *node, PyObject *number) {
    PyObject *owners = PyDict_GetItemWithError(it->state, OWNERS);
    it->name = owners ? PyObject_CallMethodObjArgs(node, NAME_OF, NULL) : NULL;
    owners = PyDict_GetItemWithError(it->state, OWNERS);
    it->forward = it->name && owners ? kept(PyDict_GetItemWithError(owners, number)) : NULL;
    if (!it->forward && it->name)
        it->forward = PyObject_CallMethodObjArgs(it->recorder, OWNER_ELSEWHERE, number, it->name, NULL);
    return it->name && it->forward && PyDict_SetItem(it->state, NODE_NAME, it->name) == 0 &&
           PyDict_SetItem(it->state, NODE_FORWARD, it->forward) == 0 && PyDict_SetItem(it->state, NODE, number) == 0;
}

static int read_backward(Opening *it, PyObject *node) {
    PyObject *number = PyObject_CallMethodObjArgs(node, SEQUENCE_NR, NULL), *last = PyDict_GetItemWithError(it->state, NODE);
    int done = number && last;
    if (done && equal(number, last) == 1) {
        it->name = kept(PyDict_GetItemWithError(it->state, NODE_NAME));
        it->forward = kept(PyDict_GetItemWithError(it->state, NODE_FORWARD));
        done = it->name && it->forward;
    } else if (done && PyLong_AsUnsignedLongLong(number) >> 63) { /* AccumulateGrad has no number of its own */
        it->name = kept(ACCUMULATE_GRAD);
        it->adding = kept(node);
    } else {
        done = done && enter_node(it, node, number);
    }
    Py_XDECREF(number);
    if (!done) return 0;
    if (!is_engines(it)) return read_stack(it, BACKWARD_CALLED, RECOMPUTE);
    it->phase = kept(BACKWARD);
    it->place = backward_place(it);
    return it->place != NULL;
}

/* Find the phase and the place, and what goes with them. */
static int read_phase(Opening *it) {
    PyObject *node = PyObject_CallNoArgs(it->held[NODE_OF]);
    if (node && node != Py_None) {
        int done = read_backward(it, node);
        Py_DECREF(node);
        return done;
    }
    Py_XDECREF(node);
    PyObject *running = node ? PyDict_GetItemWithError(it->running, RUNNING_PHASE) : NULL;
    if (!running) return 0;
    if (is_true(it->state, OPTIMIZING) != 1 && equal(running, OPTIMIZER) != 1) return read_stack(it, FORWARD, CHECKPOINTED);
    it->phase = kept(OPTIMIZER);
    it->place = kept(PyDict_GetItemWithError(it->state, PLACE_OF_STEP));
    return it->place && it->place != Py_None;
}

/* The path of the running module; not that of one seen for the first time. */
static int find_path(Opening *it) {
    it->path = kept(PyDict_GetItemWithError(it->running, RUNNING_MODULE));
    if (!it->path) return 0;
    if (!it->module || it->module == Py_None || equal(it->path, NO_TEXT) != 1) return 1;
    PyObject *key = PyLong_FromVoidPtr(it->module);
    PyObject *known = key ? PyDict_GetItemWithError(it->held[PATHS], key) : NULL;
    Py_XDECREF(key);
    if (!known || PyWeakref_GetObject(PyTuple_GetItem(known, 0)) != it->module) return 0;
    Py_DECREF(it->path);
    it->path = kept(PyTuple_GetItem(known, 1));
    return it->path != NULL;
}

static int is_plain(PyObject *value) { return PyLong_Check(value) || PyFloat_Check(value); }

/* Whether a kind is of whole numbers. */
static int is_whole(PyObject *kind) {
    PyObject *whole = PyObject_GetAttr(kind, WHOLE);
    Py_XDECREF(whole);
    return whole == Py_True;
}

/* Whether an op calculates with whole numbers that nobody has looked at: Python is to. */
static int is_unmeasured(Opening *it, PyObject *trace) {
    return it->traits & COUNTS && !(it->traits & CASTS) && it->held[MEASURE] != Py_None && PyTuple_GetItem(trace, T_LOOK) == Py_None &&
           is_whole(PyTuple_GetItem(trace, T_KIND));
}

/* Whether elements become whole numbers, as they are asked to: what they were is measured in Python. */
static int becomes_whole(Opening *it) {
    PyObject *dtype = it->traits & CASTS && it->held[MEASURE] != Py_None ? PyDict_GetItemWithError(it->kwargs, DTYPE) : NULL;
    PyObject *floating = dtype ? PyObject_GetAttr(dtype, IS_FLOATING) : NULL;
    Py_XDECREF(floating);
    return floating == Py_False;
}

/* What is kept of an argument; its trace, if it is a tensor, goes into `traces`. NULL where Python is to take it. */
static PyObject *taken(Opening *it, PyObject *one) {
    if (PyObject_TypeCheck(one, (PyTypeObject *)it->held[TENSOR])) {
        PyObject *trace = trace_of(one, it->held[MADE]);
        int bad = !trace || is_unmeasured(it, trace) || PyList_Append(it->traces, trace) < 0;
        Py_XDECREF(trace);
        return bad ? NULL : kept(it->held[MARK]);
    }
    if (PyTuple_Check(one) || PyDict_Check(one)) return NULL;
    if (!PyList_CheckExact(one)) return kept(one);
    Py_ssize_t length = PyList_Size(one);
    for (Py_ssize_t i = 0; i < length; i++) {
        PyObject *inner = PyList_GetItem(one, i);
        if (!inner || !is_plain(inner)) return NULL; /* of tensors: in Python */
    }
    return PyList_GetSlice(one, 0, length);
}

/* The arguments given by keyword, where they are plain. */
static PyObject *taken_keywords(Opening *it) {
    PyObject *key, *value;
    for (Py_ssize_t at = 0; PyDict_Next(it->kwargs, &at, &key, &value);)
        if (PyObject_TypeCheck(value, (PyTypeObject *)it->held[TENSOR]) || PyList_Check(value) || PyTuple_Check(value))
            return NULL;
    return PyDict_Copy(it->kwargs);
}

static int take_arguments(Opening *it) {
    Py_ssize_t count = PyTuple_Size(it->args), keywords = PyDict_Size(it->kwargs);
    if (count < 0 || keywords < 0) return 0;
    it->traces = untracked(PyList_New(0));
    it->statics = untracked(PyList_New(count + (keywords > 0)));
    if (!it->traces || !it->statics) return 0;
    for (Py_ssize_t i = 0; i < count + (keywords > 0); i++) {
        PyObject *one = i < count ? taken(it, PyTuple_GetItem(it->args, i)) : taken_keywords(it);
        if (!one) return 0;
        PyList_SetItem(it->statics, i, one);
    }
    return 1;
}

#define STORAGES 4096

/* A tuple of a named sort, of the items of `row`, which it takes over. */
static PyObject *made_tuple(PyObject *sort, PyObject *row) {
    PyObject *args = row ? PyTuple_Pack(1, row) : NULL, *made = NULL;
    if (args) made = ((newfunc)PyType_GetSlot(&PyTuple_Type, Py_tp_new))((PyTypeObject *)sort, args, NULL);
    Py_XDECREF(row);
    Py_XDECREF(args);
    return made;
}

/* Remember a write into a tensor's memory, as Origins.wrote does. Returns 0 where Python is to do it. */
static int wrote(Opening *it, PyObject *tensor) {
    PyObject *storage = PyObject_CallMethodObjArgs(tensor, UNTYPED_STORAGE, NULL), *written = it->held[WRITTEN];
    PyObject *address = storage ? PyObject_GetAttr(storage, CDATA) : NULL, *key = PyLong_FromVoidPtr(tensor);
    PyObject *counter = address ? PyObject_GetAttr(tensor, VERSION) : NULL, *history = NULL, *row = NULL, *done = NULL;
    Seen seen;
    PyObject *kind = counter ? kind_in(it->held[KINDS], tensor, &seen) : NULL;
    PyObject *number = counter ? PyLong_FromLongLong(PyLong_AsLongLong(counter) + 1) : NULL;
    if (kind && key && number && PyDict_Size(written) <= STORAGES) {
        PyObject *before = PyDict_GetItemWithError(it->held[MADE], key);
        row = made_tuple(it->held[ROW], PyTuple_Pack(4, number, it->seq, before ? PyTuple_GetItem(before, T_SEQ) : Py_None, kind));
        history = row ? kept(PyDict_GetItemWithError(written, address)) : NULL;
        if (history && PyDict_DelItem(written, address) < 0) Py_CLEAR(history);
        else if (row && !history) history = PyObject_CallNoArgs(it->held[NEW_HISTORY]);
        if (history) done = PyObject_CallMethodObjArgs(history, APPEND_TO, row, NULL);
        if (done && PyDict_SetItem(written, address, history) < 0) Py_CLEAR(done); /* at the end: the last written */
    }
    PyObject *all[] = {storage, address, key, counter, history, row, kind, number};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) Py_XDECREF(all[i]);
    Py_XDECREF(done);
    return done != NULL;
}

/* Remember which memory the op writes, where it writes tensors that it was given one by one. */
static int note_each(Opening *it) {
    PyObject *written = PyObject_GetAttr(it->op, WRITTEN_OF);
    Py_ssize_t count = written ? PyTuple_Size(written) : -1, given = PyTuple_Size(it->args);
    int done = count >= 0;
    for (Py_ssize_t i = 0; done && i < count; i++) {
        PyObject *pair = PyTuple_GetItem(written, i);
        Py_ssize_t index = PyLong_AsSsize_t(PyTuple_GetItem(pair, 0));
        PyObject *one = index < given ? PyTuple_GetItem(it->args, index)
                                      : PyDict_GetItemWithError(it->kwargs, PyTuple_GetItem(pair, 1));
        done = one && PyObject_TypeCheck(one, (PyTypeObject *)it->held[TENSOR]) && wrote(it, one);
    }
    Py_XDECREF(written);
    return done;
}

/* Remember which memory the op writes. */
static int note_writes(Opening *it, PyObject *owners, PyObject *number) {
    PyObject *done = note_each(it) ? kept(Py_None) : NULL;
    if (!done && forgotten())
        done = PyObject_CallMethodObjArgs(it->recorder, NOTE_WRITES, it->op, it->seq, it->args, it->kwargs, NULL);
    PyObject *before = PyLong_FromLongLong(PyLong_AsLongLong(number) - 1);
    PyObject *thread = kept(PyDict_GetItemWithError(it->held[THREADS], it->ident));
    if (done && before && thread && !PyDict_GetItemWithError(owners, before)) {
        Py_DECREF(done);
        done = PyObject_CallMethodObjArgs(it->recorder, CLAIM_FROM_COPY, thread, number, it->seq, it->traces, NULL);
    }
    Py_XDECREF(thread);
    Py_XDECREF(before);
    Py_XDECREF(done);
    return done != NULL;
}

/* The leaf whose gradient the op leaves: here a parameter that is known by its name. */
static PyObject *leaf_of(Opening *it) {
    if (it->held[LEFT] == Py_None) return kept(Py_None);
    PyObject *leaf = PyObject_GetAttr(it->adding, VARIABLE), *trace = leaf ? known_of(leaf, it->held[MADE]) : NULL;
    PyObject *named = trace ? PyTuple_GetItem(trace, T_NAMED) : NULL, *found = NULL;
    if (named && named != Py_None && equal(PyTuple_GetItem(named, 0), PARAMETER) == 1) {
        PyObject *seq = PyObject_CallNoArgs(it->held[NEXT_SEQ]);
        if (seq) found = made_tuple(it->held[LEFT], PyTuple_Pack(3, PyTuple_GetItem(named, 1), seq, Py_None));
        Py_XDECREF(seq);
    } else if (leaf && !PyErr_Occurred()) {
        found = PyObject_CallMethodObjArgs(it->recorder, ACCUMULATED, it->adding, NULL);
    }
    Py_XDECREF(leaf);
    Py_XDECREF(trace);
    return found;
}

/* The node takes its number, and owns the autograd nodes numbered since the one before. */
static int take_number(Opening *it) {
    if (it->adding && !(it->leaf = leaf_of(it))) return 0;
    it->seq = PyObject_CallNoArgs(it->held[NEXT_SEQ]);
    PyObject *next = it->seq ? PyObject_CallNoArgs(it->held[NUMBER_OF]) : NULL;
    PyObject *last = PyDict_GetItemWithError(it->state, LAST_NUMBER), *owners = kept(PyDict_GetItemWithError(it->state, OWNERS));
    PyObject *number = next ? PyLong_FromLongLong(PyLong_AsLongLong(next) - 1) : NULL;
    int done = last && owners && number;
    if (done && equal(number, last) != 1)
        done = PyDict_SetItem(it->state, LAST_NUMBER, number) == 0 &&
               (PyDict_GetItemWithError(owners, number) || PyDict_SetItem(owners, number, it->seq) == 0);
    if (done && it->traits & IN_PLACE) done = note_writes(it, owners, number);
    Py_XDECREF(next);
    Py_XDECREF(owners);
    Py_XDECREF(number);
    return done;
}

/* Take what is known before the op runs. Returns 0 where Python is to do it. */
static int opened(Opening *it) {
    PyObject *recorder = attributes_of(it->recorder);
    int done = recorder && !becomes_whole(it) && is_usual(it, recorder) && read_phase(it) && find_path(it) && take_arguments(it) && take_number(it);
    if (done) it->began = PyObject_CallNoArgs(it->held[CLOCK]);
    Py_XDECREF(recorder);
    return done && it->began;
}

/* The first fields of the record: ENDED of them, or all with `ends`. */
static PyObject *record_of(Opening *it, PyObject **ends) {
    int count = ends ? FIELDS : ENDED;
    PyObject *record = PyTuple_New(count), *step = PyDict_GetItemWithError(it->running, RUNNING_STEP);
    PyObject *fields[] = {it->seq,     step,        it->op,   it->phase, it->place, it->path, it->traces,
                          it->statics, it->forward, it->name, it->leaf,  it->ident, it->began};
    fields[NAME] = it->name ? it->name : NO_TEXT;
    for (int i = 0; record && i < count; i++) {
        PyObject *field = i < ENDED ? fields[i] : ends[i - ENDED];
        PyTuple_SetItem(record, i, kept(field ? field : Py_None));
    }
    return untracked(record);
}

/* ---- Closing a record: the traces of an op's results. ---- */

static int same_number(PyObject *one, PyObject *other, PyObject *name) {
    PyObject *a = PyObject_GetAttr(one, name), *b = PyObject_GetAttr(other, name);
    int same = a && b && PyLong_AsLongLong(a) == PyLong_AsLongLong(b);
    Py_XDECREF(a);
    Py_XDECREF(b);
    return same;
}

/* Pack a trace; it takes over `way`, `version` and `look`. */
static PyObject *packed(Opening *it, PyObject *way, PyObject *version, Py_ssize_t output, PyObject *kind, PyObject *look,
                        PyObject *named) {
    PyObject *trace = NULL, *index = PyLong_FromSsize_t(output);
    if (way && version && index && look) trace = PyTuple_Pack(TRACE_FIELDS, way, version, it->seq, index, kind, look, named);
    Py_XDECREF(way);
    Py_XDECREF(version);
    Py_XDECREF(index);
    Py_XDECREF(look);
    return untracked(trace);
}

/* The trace of a view: its memory was looked at when its base was made. */
static PyObject *trace_of_view(Opening *it, PyObject *result, Py_ssize_t output, PyObject *kind) {
    PyObject *source = PyList_GetItem(it->traces, 0);
    if (!source) return NULL;
    PyObject *look = PyTuple_GetItem(source, T_LOOK), *named = PyTuple_GetItem(source, T_NAMED);
    if (it->traits & AS_OTHER) look = Py_None;
    if (look != Py_None && look != Py_True && !same_number(PyTuple_GetItem(source, T_KIND), kind, NUMEL)) look = Py_None;
    if (named != Py_None) {
        PyObject *origin = PyTuple_GetItem(named, 0);
        if (!equal(origin, PARAMETER) && !equal(origin, BUFFER)) named = Py_None;
    }
    return packed(it, untracked(PyWeakref_NewRef(result, NULL)), kept(PyTuple_GetItem(source, T_VERSION)), output, kind,
                  kept(look), named);
}

/* What the kernel says of a plain tensor; NULL, perhaps without an error, where Python is to look. */
static PyObject *glanced(Clerk *self, const Seen *seen, int counts) {
    if (!self->looks || seen->type < 0) return NULL;
    int whole = seen->type > 3, measured = whole && counts && seen->type != 9; /* truth values are not counted with */
    if (!seen->count || (self->level == 1 && whole && !measured)) return kept(Py_None); /* whole numbers are finite */
    if (self->level == 1 && !whole && seen->axes) return self->looks->finite(seen->data, seen->count, seen->type) ? kept(Py_True) : NULL;
    return self->looks->statistics(self->held[STATISTICS], seen->data, seen->count, seen->type);
}

/* What looking at a result gives: the quick way, or where that has no answer the other. */
static PyObject *looked_at(Opening *it, PyObject *result, PyObject *kind, const Seen *seen) {
    if (it->held[LOOK] == Py_None || it->traits & NOT_BORN) return kept(Py_None);
    int counts = (it->traits & COUNTS) != 0;
    PyObject *look = glanced(it->clerk, seen, counts);
    if (look || PyErr_Occurred()) return look;
    if (counts && is_whole(kind)) return PyObject_CallFunctionObjArgs(it->held[MEASURE], result, kind, NULL);
    if (it->held[QUICK] != Py_None && seen->type < 0) {
        look = PyObject_CallFunctionObjArgs(it->held[QUICK], result, kind, NULL);
        if (look != Py_NotImplemented) return look;
        Py_DECREF(look);
    }
    return PyObject_CallFunctionObjArgs(it->held[LOOK], result, kind, NULL);
}

static PyObject *trace_of_result(Opening *it, PyObject *result, Py_ssize_t output, PyObject *kind, const Seen *seen) {
    int writes = (it->traits & IN_PLACE) != 0;
    PyObject *counter = PyObject_GetAttr(result, VERSION); /* an inference tensor has none */
    long long version = counter ? PyLong_AsLongLong(counter) : 0;
    Py_XDECREF(counter);
    if (!counter) return NULL;
    PyObject *old = writes ? known_of(result, it->held[MADE]) : NULL;
    if (PyErr_Occurred()) {
        Py_XDECREF(old);
        return NULL;
    }
    PyObject *way = old ? kept(PyTuple_GetItem(old, T_WAY)) : untracked(PyWeakref_NewRef(result, NULL));
    PyObject *named = old ? PyTuple_GetItem(old, T_NAMED) : Py_None;
    PyObject *look = way ? looked_at(it, result, kind, seen) : NULL;
    PyObject *trace = packed(it, way, PyLong_FromLongLong(version + writes), output, kind, look, named); /* it rises after the node */
    Py_XDECREF(old);
    return trace;
}

static PyObject *trace_made(Opening *it, PyObject *result, Py_ssize_t output) {
    Seen seen;
    PyObject *kind = kind_in(it->held[KINDS], result, &seen), *trace = NULL, *key = NULL;
    if (kind)
        trace = it->traits & AS_VIEW ? trace_of_view(it, result, output, kind) : trace_of_result(it, result, output, kind, &seen);
    if (trace) key = PyLong_FromVoidPtr(result);
    if (trace && (!key || PyDict_SetItem(it->held[MADE], key, trace) < 0)) Py_CLEAR(trace);
    Py_XDECREF(key);
    Py_XDECREF(kind);
    return trace;
}

/* The traces of a list or tuple of results. */
static PyObject *traces_made(Opening *it, PyObject *results) {
    PyObject *outputs = untracked(PyList_New(0));
    Py_ssize_t length = PySequence_Size(results);
    for (Py_ssize_t i = 0; outputs && i < length; i++) {
        PyObject *one = PySequence_GetItem(results, i), *trace = NULL;
        int is_tensor = one && PyObject_TypeCheck(one, (PyTypeObject *)it->held[TENSOR]);
        if (is_tensor) trace = trace_made(it, one, i);
        if (!one || (is_tensor && (!trace || PyList_Append(outputs, trace) < 0))) Py_CLEAR(outputs);
        Py_XDECREF(trace);
        Py_XDECREF(one);
    }
    return outputs;
}

static PyObject *outputs_of(Opening *it, PyObject *result) {
    if (PyList_Check(result) || PyTuple_Check(result)) return traces_made(it, result);
    if (!PyObject_TypeCheck(result, (PyTypeObject *)it->held[TENSOR])) return PyTuple_New(0);
    PyObject *trace = trace_made(it, result, 0), *outputs = trace ? untracked(PyTuple_Pack(1, trace)) : NULL;
    Py_XDECREF(trace);
    return outputs;
}

/* Add the whole record to those that wait. Returns one more than they are, 0 where Python is to do it, -1 at an interrupt. */
static Py_ssize_t closed(Opening *it, PyObject *result) {
    PyObject *record = NULL, *done = NULL, *source = NULL, *outputs = NULL, *ended = PyObject_CallNoArgs(it->held[CLOCK]);
    if (ended && PyList_Size(it->held[WATCHERS]) == 0 && !(it->traits & ADOPTS)) outputs = outputs_of(it, result);
    if (outputs && it->traits & AS_VIEW) source = PyList_GetItem(it->traces, 0);
    PyObject *ends[] = {ended, outputs, source ? PyTuple_GetItem(source, T_SEQ) : Py_None, EXECUTED, EAGER};
    if (outputs && !PyErr_Occurred()) record = record_of(it, ends);
    if (record) done = PyObject_CallFunctionObjArgs(it->held[APPEND], record, NULL);
    Py_XDECREF(record);
    Py_XDECREF(outputs);
    Py_XDECREF(ended);
    if (!done) return forgotten() ? 0 : -1;
    Py_DECREF(done);
    return 1 + PyObject_Size(it->held[RAWS]);
}

/* ---- The op. ---- */

/* What is known of an operator, and its traits; NULL where it can't be told. */
static PyObject *op_of(Clerk *self, PyObject *operator, long *traits, PyObject **call) {
    PyObject *key = PyLong_FromVoidPtr(operator), *op = key ? kept(PyDict_GetItemWithError(self->held[OPS], key)) : NULL;
    Py_XDECREF(key);
    if (!op && !PyErr_Occurred()) op = PyObject_CallFunctionObjArgs(self->held[OP_OF], operator, NULL);
    PyObject *bits = op ? PyObject_GetAttr(op, TRAITS) : NULL;
    *traits = bits ? PyLong_AsLong(bits) : -1;
    *call = bits ? PyObject_GetAttr(op, CALL) : NULL;
    Py_XDECREF(bits);
    if (*call) return op;
    Py_XDECREF(op);
    return NULL;
}

/* After an op that raised: Python records that, and raises again or calls the op so that it does not. */
static PyObject *raised(Opening *it, PyObject *operator, PyObject *record) {
    PyObject *type, *error, *trace, *result;
    PyErr_Fetch(&type, &error, &trace);
    PyErr_NormalizeException(&type, &error, &trace);
    if (trace) PyException_SetTraceback(error, trace);
    if (!PyErr_GivenExceptionMatches(error, PyExc_Exception)) {
        PyErr_Restore(type, error, trace);
        return NULL;
    }
    result = PyObject_CallMethodObjArgs(it->recorder, REFUSED, operator, it->args, it->kwargs, record, error, NULL);
    Py_XDECREF(type);
    Py_XDECREF(error);
    Py_XDECREF(trace);
    return result;
}

/* Run an op that is to be recorded. */
static PyObject *recorded(Opening *it, PyObject *operator, PyObject *call) {
    int usual = opened(it);
    PyObject *record = NULL, *result;
    if (!usual) {
        if (!forgotten()) return NULL;
        record = PyObject_CallMethodObjArgs(it->recorder, OPENED, it->op, it->args, it->kwargs, it->frame, NULL);
        if (!record) return NULL;
    }
    result = PyObject_Call(call, it->args, it->kwargs);
    if (!result) {
        PyObject *type, *error, *trace;
        PyErr_Fetch(&type, &error, &trace);
        if (usual) record = record_of(it, NULL);
        PyErr_Restore(type, error, trace);
        result = record ? raised(it, operator, record) : NULL;
    }
    Py_ssize_t waiting = result && usual ? closed(it, result) : 0;
    PyObject *done = NULL;
    if (result && waiting == 0) {
        if (!record) record = record_of(it, NULL);
        if (record == Py_None) done = kept(Py_None);
        else if (record) done = PyObject_CallMethodObjArgs(it->recorder, CLOSED, it->op, record, result, NULL);
    } else if (waiting > it->clerk->most) {
        done = PyObject_CallMethodObjArgs(it->recorder, FULL, NULL);
    } else if (waiting > 0) {
        done = kept(Py_None);
    }
    if (!done) Py_CLEAR(result);
    Py_XDECREF(done);
    Py_XDECREF(record);
    return result;
}

/* dispatch(recorder, operator, types, args=(), kwargs=None) -> what the op returns. */
static PyObject *clerk_dispatch(Clerk *self, PyObject *const *args, Py_ssize_t nargs) {
    if (nargs < 3 || nargs > 5) return raise_type("dispatch(recorder, operator, types, args, kwargs)"), NULL;
    PyObject *operator = args[1], *call = NULL, *result = NULL, *arguments, *keywords;
    arguments = nargs > 3 ? PySequence_Tuple(args[3]) : PyTuple_New(0);
    keywords = nargs > 4 && args[4] != Py_None ? kept(args[4]) : PyDict_New();
    Opening it = {.clerk = self, .held = self->held, .recorder = args[0], .args = arguments, .kwargs = keywords};
    PyObject *recorder = arguments && keywords ? attributes_of(args[0]) : NULL;
    int attached = recorder ? is_true(recorder, ATTACHED) : -1;
    Py_XDECREF(recorder);
    PyObject *op = attached > 0 ? op_of(self, operator, &it.traits, &call) : NULL;
    if (op && it.traits & WANTED) {
        PyObject *frame = (PyObject *)PyThreadState_GetFrame(PyThreadState_Get());
        it.op = op;
        it.frame = frame ? frame : Py_None;
        result = recorded(&it, operator, call);
        Py_XDECREF(frame);
    } else if (attached >= 0 && forgotten()) {
        result = PyObject_Call(op ? call : operator, arguments, keywords);
    }
    forget(&it);
    Py_XDECREF(op);
    Py_XDECREF(call);
    Py_XDECREF(arguments);
    Py_XDECREF(keywords);
    return result;
}

/* ---- The type. ---- */

/* Clerk(held, most, looks, level): what it holds, how many records may wait, the kernel's capsule or None, what to look for. */
static PyObject *clerk_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *held, *looks;
    int most, level;
    (void)kwargs;
    if (!PyArg_ParseTuple(args, "OiOi", &held, &most, &looks, &level)) return NULL;
    if (!PyTuple_Check(held) || PyTuple_Size(held) != HELD) return raise_type("Clerk takes what it holds"), NULL;
    Clerk *self = (Clerk *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (!self) return NULL;
    for (int i = 0; i < HELD; i++) self->held[i] = kept(PyTuple_GetItem(held, i));
    self->most = most;
    self->level = level;
    self->looks = level && looks != Py_None ? PyCapsule_GetPointer(looks, LOOKS) : NULL;
    if (PyErr_Occurred()) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static int clerk_traverse(Clerk *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE((PyObject *)self));
    Py_VISIT(self->state);
    for (int i = 0; i < HELD; i++) Py_VISIT(self->held[i]);
    return 0;
}

static int clerk_clear(Clerk *self) {
    Py_CLEAR(self->state);
    Py_CLEAR(self->number);
    for (int i = 0; i < HELD; i++) Py_CLEAR(self->held[i]);
    return 0;
}

static PyMethodDef CLERK_METHODS[] = {
    {"dispatch", (PyCFunction)(void (*)(void))clerk_dispatch, METH_FASTCALL,
     "dispatch(recorder, operator, types, args=(), kwargs=None) -> what the op returns, which is recorded."},
    {NULL, NULL, 0, NULL}};
static PyType_Slot CLERK_SLOTS[] = {{Py_tp_new, clerk_new},           {Py_tp_dealloc, freed},
                                    {Py_tp_traverse, clerk_traverse}, {Py_tp_clear, clerk_clear},
                                    {Py_tp_methods, CLERK_METHODS},   {0, NULL}};
PyType_Spec CLERK = {"graphdebug.backends.torch._record.Clerk", sizeof(Clerk), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
                     CLERK_SLOTS};
