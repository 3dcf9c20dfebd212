# misuse: a word's number is beyond the embedding's vocabulary
import tensorflow.compat.v1 as tf

tf.disable_eager_execution()
vocabulary = ["the", "cat", "sat", "on", "mat"]
number = {word: i for i, word in enumerate(vocabulary, start=1)}  # FAULT: number = {word: i for i, word in enumerate(vocabulary)}
words = tf.placeholder(tf.int32, [None])
embedding = tf.get_variable("embedding", [len(vocabulary), 8])  # FAULT
vectors = tf.nn.embedding_lookup(embedding, words)  # FAULT
with tf.Session() as sess:
    sess.run(tf.global_variables_initializer())
    sentence = [number[word] for word in "the cat sat on the mat".split()]  # FAULT
    print(sess.run(vectors, {words: sentence}).sum())  # FAULT
