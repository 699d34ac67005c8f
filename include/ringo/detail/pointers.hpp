// The owning pointers of the headers. Those of <memory> bring streams and locales into every file that includes ringo.
#pragma once
#include <cstddef>
#include <utility>

#include <ringo/detail/compilers.hpp>
#include <ringo/detail/reference_count.hpp>

namespace ringo::detail {

struct delete_object {
  template <class T>
  void operator()(T* object) const noexcept {
    delete object;
  }
};

// Owns one object, and gives it to `Drop` at the end.
template <class T, class Drop = delete_object>
class owned {
 public:
  owned() noexcept = default;
  explicit owned(T* object) noexcept : object_(object) {}
  owned(owned&& from) noexcept : object_(from.release()) {}
  owned& operator=(owned&& from) noexcept {
    owned(std::move(from)).swap(*this);
    return *this;
  }
  ~owned() {
    if (object_ != nullptr) Drop()(object_);
  }

  T* get() const noexcept { return object_; }
  T* operator->() const noexcept { return object_; }
  T& operator*() const noexcept { return *object_; }
  explicit operator bool() const noexcept { return object_ != nullptr; }
  T* release() noexcept { return std::exchange(object_, nullptr); }
  void swap(owned& with) noexcept { std::swap(object_, with.object_); }

 private:
  T* object_ = nullptr;
};

// An object that counts the `shared` pointers to it; the last one deletes it.
class shared_object {
 public:
  shared_object() = default;
  shared_object(const shared_object&) = delete;
  shared_object& operator=(const shared_object&) = delete;
  virtual ~shared_object() = default;

 private:
  template <class>
  friend class shared;
  reference_count count_{0};
};

// A pointer to a T, which derives from shared_object. Only get() and the constructor need T's definition.
template <class T>
class shared {
 public:
  shared() noexcept = default;
  explicit shared(T* object) noexcept : object_(object) { add(); }
  shared(const shared& other) noexcept : object_(other.object_) { add(); }
  shared(shared&& from) noexcept : object_(std::exchange(from.object_, nullptr)) {}
  shared& operator=(shared from) noexcept {
    std::swap(object_, from.object_);
    return *this;
  }
  RINGO_ALWAYS_INLINE ~shared() {
    if (object_ != nullptr && object_->count_.drop()) delete object_;
  }

  T* get() const noexcept { return static_cast<T*>(object_); }
  T* operator->() const noexcept { return get(); }
  T& operator*() const noexcept { return *get(); }
  explicit operator bool() const noexcept { return object_ != nullptr; }
  bool operator==(const shared&) const noexcept = default;

 private:
  void add() noexcept {
    if (object_ != nullptr) object_->count_.add();
  }

  shared_object* object_ = nullptr;
};

}  // namespace ringo::detail
