# misuse: a word's number is beyond the embedding's vocabulary
import tensorflow as tf

vocabulary = ["the", "cat", "sat", "on", "mat"]
number = {word: i for i, word in enumerate(vocabulary, start=1)}  # FAULT: number = {word: i for i, word in enumerate(vocabulary)}
embedding = tf.Variable(tf.random.stateless_normal([len(vocabulary), 8], seed=[1, 1]))  # FAULT


# COMPILED: @tf.function
def embed(words):
    return tf.gather(embedding, words)  # FAULT


sentence = tf.constant([number[word] for word in "the cat sat on the mat".split()])  # FAULT
print(float(tf.reduce_sum(embed(sentence))))
