// How datagrams are sent and received. What stands behind it is in src/net/datagram_core.hpp.
#pragma once
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <ringo/chunk.hpp>
#include <ringo/detail/stream_operation.hpp>
#include <ringo/endpoint.hpp>

namespace ringo::detail {

class datagram_core;

// At the other end: an endpoint, or the name of a Unix socket; neither where it has none, or the socket is connected.
class datagram_peer {
 public:
  datagram_peer() noexcept = default;
  explicit datagram_peer(const endpoint& e) noexcept : address(e) {}
  explicit datagram_peer(std::string n) noexcept : name(std::move(n)) {}

  endpoint address;
  std::string name;
};

// A case that waits for a datagram.
struct datagram_reading {
  datagram_reading* next = nullptr;
  datagram_reading* previous = nullptr;
  waiter* waits = nullptr;
  bool is_listed = false;
  bool counts = false;  // in the socket's uses
  bool is_truncated = false;
  int error = 0;
  block* got = nullptr;  // null: a datagram without bytes
  datagram_peer from;
};

// A case that waits until one has been sent.
struct datagram_sending {
  datagram_sending* next = nullptr;
  datagram_sending* previous = nullptr;
  waiter* waits = nullptr;
  bool is_listed = false;
  bool counts = false;
  int error = 0;
  std::span<const std::byte> bytes;
  datagram_peer to;
};

void enter_datagrams(datagram_core* of, const worker* w, const char* call);
spin_lock* lock_of(datagram_core& of) noexcept;

// Where none is there, the kernel is asked: so that who only tries will find one the next time.
bool can_receive(datagram_core& from, worker& w) noexcept;
bool try_receive(datagram_core& from, datagram_reading& r, waiter& as, worker& w) noexcept;
void begin_receiving(datagram_core& from, datagram_reading& r, waiter& as, worker& w) noexcept;
bool end_receiving(datagram_core& from, datagram_reading& r) noexcept;
void take_received(datagram_core& from, datagram_reading& r, bool failed);  // throws what has failed
void discard_received(datagram_core& from, datagram_reading& r) noexcept;

bool can_send(const datagram_core& to) noexcept;
bool try_send(datagram_core& to, datagram_sending& s, waiter& as) noexcept;
void begin_sending(datagram_core& to, datagram_sending& s, waiter& as, worker& w) noexcept;
bool end_sending(datagram_core& to, datagram_sending& s) noexcept;
void take_sent(datagram_core& to, datagram_sending& s, bool failed);  // throws what has failed

void delete_datagrams(datagram_core& of) noexcept;
void tell_datagrams(const datagram_core& of, std::string& text);

// Message: a chunk, or what is made of one, a datagram_peer and whether it was truncated.
template <class Message>
class RINGO_AWAITABLE datagram_recv_operation final : public operation<datagram_recv_operation<Message>, Message> {
 public:
  static constexpr const char* call_name = "recv of a datagram";
  explicit datagram_recv_operation(datagram_core* from) noexcept : from_(from) {}
  datagram_recv_operation(const datagram_recv_operation&) = default;
  datagram_recv_operation& operator=(const datagram_recv_operation&) = default;
  ~datagram_recv_operation() {
    if (this->standing() != progress::idle) [[unlikely]]
      this->abandon(*this->who);
  }

  void enter(const worker* w) { enter_datagrams(from_, w, call_name); }
  spin_lock* lock() noexcept { return lock_of(*from_); }
  bool ready(worker& w) noexcept { return can_receive(*from_, w); }
  bool commit(worker& w, bool, routine*&) noexcept { return try_receive(*from_, request_, *this, w); }
  void link(worker& w, routine& r) noexcept {
    this->who = &r;
    this->stand(progress::waiting);
    begin_receiving(*from_, request_, *this, w);
  }
  bool unlink() noexcept {
    if (!won(this->standing())) this->stand(progress::idle);
    return end_receiving(*from_, request_);
  }
  void dispose() noexcept { delete_datagrams(*from_); }
  Message take() {
    const bool failed = this->standing() == progress::failed;
    this->stand(progress::idle);
    take_received(*from_, request_, failed);
    chunk bytes(std::exchange(request_.got, nullptr));
    if constexpr (std::is_same_v<Message, chunk>) {
      return bytes;
    } else {
      return Message(std::move(bytes), std::move(request_.from), request_.is_truncated);
    }
  }
  void discard() noexcept {
    this->stand(progress::idle);
    discard_received(*from_, request_);
  }
  void tell(std::string& text) const {
    text += "a datagram to ";
    tell_datagrams(*from_, text);
  }

 private:
  datagram_core* from_;
  datagram_reading request_;
};

class RINGO_AWAITABLE datagram_send_operation final : public operation<datagram_send_operation, void> {
 public:
  static constexpr const char* call_name = "send of a datagram";
  datagram_send_operation(datagram_core* through, std::span<const std::byte> bytes, datagram_peer to) noexcept
      : through_(through) {
    request_.bytes = bytes;
    request_.to = std::move(to);
  }
  datagram_send_operation(const datagram_send_operation&) = default;
  datagram_send_operation& operator=(const datagram_send_operation&) = default;
  ~datagram_send_operation() {
    if (standing() != progress::idle) [[unlikely]]
      abandon(*who);
  }

  void enter(const worker* w) { enter_datagrams(through_, w, call_name); }
  spin_lock* lock() noexcept { return lock_of(*through_); }
  bool ready(worker&) noexcept { return can_send(*through_); }
  bool commit(worker&, bool, routine*&) noexcept { return try_send(*through_, request_, *this); }
  void link(worker& w, routine& r) noexcept {
    who = &r;
    stand(progress::waiting);
    begin_sending(*through_, request_, *this, w);
  }
  bool unlink() noexcept {
    if (!won(standing())) stand(progress::idle);
    return end_sending(*through_, request_);
  }
  void dispose() noexcept { delete_datagrams(*through_); }
  void take() {
    const bool failed = standing() == progress::failed;
    stand(progress::idle);
    take_sent(*through_, request_, failed);
  }
  void discard() noexcept;
  void tell(std::string& text) const {
    text += "a datagram to be sent by ";
    tell_datagrams(*through_, text);
  }

 private:
  datagram_core* through_;
  datagram_sending request_;
};

// The one handle of a socket.
class datagram_handle {
 public:
  datagram_handle() noexcept = default;
  explicit datagram_handle(datagram_core* counted) noexcept : core_(counted) {}
  datagram_handle(datagram_handle&& from) noexcept : core_(std::exchange(from.core_, nullptr)) {}
  datagram_handle& operator=(datagram_handle&& from) noexcept {
    datagram_handle(std::move(from)).swap(*this);
    return *this;
  }
  ~datagram_handle() {
    if (core_ != nullptr) drop(*std::exchange(core_, nullptr));
    keep_mark(core_);
  }

  void swap(datagram_handle& with) noexcept { std::swap(core_, with.core_); }
  datagram_core* get() const noexcept { return core_; }
  int native_handle() const noexcept;  // -1 of nothing
  close_operation close() const;

 private:
  static void drop(datagram_core& of) noexcept;

  datagram_core* core_ = nullptr;
};

}  // namespace ringo::detail
