/* How a node answers; used by tw1_node.c alone. */
#ifndef TW1_ANSWERS_H
#define TW1_ANSWERS_H

#include "tw1_node.h"

/* Write the payload of HELLO; gives its size. */
size_t tw1_answer_hello(const tw1_node *node, uint8_t *payload);

/* Carry out node->asked and write the payload of its answer; gives its size, or in `code` why it
 * was refused. */
size_t tw1_answer(tw1_node *node, uint64_t now_us, uint8_t *answer, uint8_t *code);

#endif
