#include "io/stream_filter.hpp"

#include <sys/socket.h>

#include "io/stream_core.hpp"

namespace ringo::detail {

void filtering::work(worker* w, int descriptor) noexcept {
  without_locks("the filter, shutdown and send");
  const auto buffer_of = [w] { return w != nullptr ? scheduler_of(*w).driver_->buffers.take() : nullptr; };
  while (!orders.received.empty()) {
    buffer& b = orders.received.pop_front();
    if (!filter->put_in({b.bytes() + b.begin, b.end - b.begin})) results.lacks_memory_in = true;
    give_back(b);
  }
  filter->advance();
  while (!results.lacks_memory_in && !orders.closes) {
    buffer* const b = buffer_of();
    results.lacks_memory_in = b == nullptr;
    if (b == nullptr) break;
    b->begin = 0;
    b->end = static_cast<std::uint32_t>(filter->decode({b->bytes(), buffer::size}));
    if (b->end == 0) {
      give_back(*b);
      break;
    }
    results.plain.push_back(*b);
  }
  if (!orders.plain.empty()) filter->encode(orders.plain);
  if (orders.ends_output) filter->end_output();
  results.lacks_memory_out = !filter->take_coded(results.coded);
  results.is_established = filter->is_established();
  results.has_ended = filter->has_ended();
  results.error = filter->error();
  // The last words tell the peer that nothing is missing, or what is wrong. Without room in the kernel they are lost.
  if (orders.may_send && (orders.closes || results.error != nullptr) && !results.coded.empty()) {
    ::send(descriptor, results.coded.data(), results.coded.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    results.coded.clear();
  }
  if (orders.closes) ::shutdown(descriptor, SHUT_RDWR);
}

// ---- the stream's part

bool stream_core::put_on(std::unique_ptr<stream_filter> f, worker& w) {
  auto made = std::make_unique<filtering>(std::move(f));
  {
    const section here(*this);
    if (!is_open() || filter_ != nullptr || !waiting(io_side::in).empty() || !waiting(io_side::out).empty() ||
        turn_ != turn::free) {
      return false;
    }
    filter_ = std::move(made);
    filter_->received.append(std::move(there_));
    begin_filter_turn(true);
  }
  run_filter(&w);
  return true;
}

bool stream_core::begin_filter_turn(bool always) noexcept {
  filtering* const f = filter_.get();
  if (f == nullptr || f->in_turn) return false;
  auto& orders = f->orders;
  orders = {};
  if (!is_open()) {
    if (!std::exchange(f->has_last_words, false)) return false;
    orders.closes = true;
    orders.ends_output = orders.may_send = f->is_established && !f->has_ended_output;
  } else {
    sending* const s = filter_sender();
    if (s != nullptr) {
      s->what == sending::kind::shutdown ? void(orders.ends_output = true) : void(orders.plain = gather(*s));
      s->has_begun = true;
    }
    const bool is_idle = turn_ == turn::free && f->coded.empty() && waiting(io_side::out).empty();
    if (is_idle && ends_when_sent_ && send_error_ == 0) orders.ends_output = !f->has_ended_output;
    if (!always && s == nullptr && f->received.empty() && !orders.ends_output) return false;
    orders.received = std::move(f->received);
    orders.may_send = turn_ == turn::free && f->coded.empty() && may_flush();
    if (orders.ends_output && send_error_ == 0) send_error_ = own_side_ended;
    if (turn_ == turn::free) turn_ = turn::encodes;
  }
  if (orders.ends_output) f->has_ended_output = true;
  return f->in_turn = true;
}

void stream_core::run_filter(worker* w) noexcept {
  for (bool more = true; more;) {
    filter_->work(w, descriptor());
    section here(*this);
    end_filter_turn();
    more = go_on(here);
  }
}

void stream_core::end_filter_turn() noexcept {
  filtering& f = *filter_;
  auto& results = f.results;
  f.in_turn = false;
  f.is_established = results.is_established;
  there_.append(std::move(results.plain));
  if (results.lacks_memory_in && receive_error_ == 0) receive_error_ = ENOMEM;
  if (results.has_ended) at_end_ = true;
  if (f.error == nullptr) f.error = std::move(results.error);
  if (f.error != nullptr && receive_error_ == 0) receive_error_ = filter_failed;
  if (turn_ == turn::left && !send_.in_flight()) {  // its bytes were encoded, and its sender has left
    fail_to_send(cut_short);
    turn_ = turn::free;
  }
  if (turn_ == turn::encodes) turn_ = turn::free;
  if (f.error != nullptr) fail_to_send(filter_failed);
  if (results.lacks_memory_out) fail_to_send(ENOMEM);
  try {
    if (may_flush() && is_open()) f.coded.insert(f.coded.end(), results.coded.begin(), results.coded.end());
  } catch (const std::bad_alloc&) {
    fail_to_send(ENOMEM);
  }
  results.coded.clear();
  results.lacks_memory_in = results.lacks_memory_out = false;
}

}  // namespace ringo::detail
