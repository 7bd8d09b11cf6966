/* SPDX-License-Identifier: Apache-2.0 */
/* Intrusive doubly linked list. A zeroed node is on no list; a list head is initialised with
 * lt_list_init. The list owns nothing. */
#ifndef LT_BASE_LIST_H
#define LT_BASE_LIST_H

#include "base/defs.h"

struct lt_list {
    struct lt_list *next, *prev;
};

static inline void lt_list_init(struct lt_list *head)
{
    head->next = head->prev = head;
}

static inline bool lt_list_empty(const struct lt_list *head)
{
    return head->next == head;
}

static inline void lt_list_insert_after(struct lt_list *at, struct lt_list *node)
{
    node->prev = at;
    node->next = at->next;
    at->next->prev = node;
    at->next = node;
}

static inline void lt_list_push_front(struct lt_list *head, struct lt_list *node)
{
    lt_list_insert_after(head, node);
}

static inline void lt_list_push_back(struct lt_list *head, struct lt_list *node)
{
    lt_list_insert_after(head->prev, node);
}

/* Whether node is on a list. */
static inline bool lt_list_linked(const struct lt_list *node)
{
    return node->next != NULL;
}

/* Takes node off its list; does nothing for one that is on none. */
static inline void lt_list_remove(struct lt_list *node)
{
    if (node->next != NULL) {
        node->next->prev = node->prev;
        node->prev->next = node->next;
        node->next = node->prev = NULL;
    }
}

/* The first node, taken off, or NULL. */
static inline struct lt_list *lt_list_pop_front(struct lt_list *head)
{
    struct lt_list *node = head->next;
    if (node == head) {
        return NULL;
    }
    lt_list_remove(node);
    return node;
}

/* Safe against removal of the current node. */
#define lt_list_each(it, tmp, head)                                                                \
    for (struct lt_list *it = (head)->next, *tmp = it->next; it != (head); it = tmp, tmp = it->next)

#endif
