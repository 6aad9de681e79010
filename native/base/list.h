// Intrusive doubly linked list: links live in the elements, so nothing is allocated.
//
// An element is in at most one list per link. Elements must leave the list before they die.
#pragma once

#include <cstddef>

#include "base/assert.h"

namespace blkmirror {

struct ListLink {
  ListLink* next = nullptr;
  ListLink* prev = nullptr;

  ListLink() = default;
  ListLink(const ListLink&) = delete;
  ListLink& operator=(const ListLink&) = delete;

  bool linked() const { return next != nullptr; }
  void unlink() {
    BM_ASSERT(linked());
    prev->next = next;
    next->prev = prev;
    next = nullptr;
    prev = nullptr;
  }
};

template <class T, ListLink T::*Member>
class List {
 public:
  List() {
    head_.next = &head_;
    head_.prev = &head_;
  }
  List(const List&) = delete;
  List& operator=(const List&) = delete;

  bool empty() const { return head_.next == &head_; }
  T* front() { return empty() ? nullptr : owner(head_.next); }
  T* next(T& element) {
    ListLink* link = (element.*Member).next;
    return link == &head_ ? nullptr : owner(link);
  }
  void push_back(T& element) { insert_before(head_, element.*Member); }
  void push_front(T& element) { insert_before(*head_.next, element.*Member); }
  void remove(T& element) { (element.*Member).unlink(); }
  T* pop_front() {
    T* element = front();
    if (element != nullptr) remove(*element);
    return element;
  }

 private:
  static void insert_before(ListLink& place, ListLink& link) {
    BM_ASSERT(!link.linked());
    link.next = &place;
    link.prev = place.prev;
    place.prev->next = &link;
    place.prev = &link;
  }
  static T* owner(ListLink* link) {
    // The classic container_of: a member pointer's offset within a standard object.
    const auto offset = reinterpret_cast<std::size_t>(&(static_cast<T*>(nullptr)->*Member));
    return reinterpret_cast<T*>(reinterpret_cast<char*>(link) - offset);
  }

  ListLink head_;
};

}  // namespace blkmirror
