// What may lie between the bytes that a stream's users see and those of its descriptor: TLS.
#pragma once
#include <cstddef>
#include <exception>
#include <span>
#include <vector>

namespace ringo::detail {

// Used under the stream's lock only, on whichever worker. Nothing of it waits, and nothing of it throws.
class stream_filter {
 public:
  stream_filter() = default;
  stream_filter(const stream_filter&) = delete;
  stream_filter& operator=(const stream_filter&) = delete;
  virtual ~stream_filter() = default;

  // What has come over the descriptor; false: no memory for it.
  virtual bool put_in(std::span<const std::byte> coded) noexcept = 0;
  // Goes on with what both sides have to agree upon first. It may have something to be sent then.
  virtual void advance() noexcept = 0;
  virtual bool is_established() const noexcept = 0;
  // How much of what has come in could be decoded into there; 0: none yet.
  virtual std::size_t decode(std::span<std::byte> into) noexcept = 0;
  virtual bool has_ended() const noexcept = 0;  // the peer has said that no more comes

  // Takes all of it, to be sent in coded form.
  virtual void encode(std::span<const std::byte> plain) noexcept = 0;
  virtual void end_output() noexcept = 0;  // the peer is to know that no more comes
  // Moves there what is to be sent; false: no memory for it.
  virtual bool take_coded(std::vector<std::byte>& into) noexcept = 0;
  virtual std::size_t coded_size() const noexcept = 0;  // of what is to be sent
  virtual void drop_coded() noexcept = 0;               // nothing can be sent any more

  // Null while all is well; after an error nothing more comes in or goes out.
  virtual std::exception_ptr error() const noexcept = 0;
};

}  // namespace ringo::detail
