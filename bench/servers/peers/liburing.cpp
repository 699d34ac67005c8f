// By hand: a ring, one receive or one send a connection. Usage: liburing PORT WORKERS (1)
#include <liburing.h>
#include <sys/socket.h>
#include <unistd.h>

#include "listener.hpp"

namespace {

struct connection {
  int descriptor;
  bool sends;
  char bytes[4096];
};

io_uring ring;

io_uring_sqe* next_entry() {
  io_uring_sqe* entry = io_uring_get_sqe(&ring);
  while (entry == nullptr) {  // of thousands of connections more may answer than there is room to go on with
    io_uring_submit(&ring);
    entry = io_uring_get_sqe(&ring);
  }
  return entry;
}

void receive(connection& c) {
  io_uring_sqe* entry = next_entry();
  io_uring_prep_recv(entry, c.descriptor, c.bytes, sizeof c.bytes, 0);
  io_uring_sqe_set_data(entry, &c);
  c.sends = false;
}

void send(connection& c, int size) {
  io_uring_sqe* entry = next_entry();
  io_uring_prep_send(entry, c.descriptor, c.bytes, static_cast<std::size_t>(size), MSG_WAITALL | MSG_NOSIGNAL);
  io_uring_sqe_set_data(entry, &c);
  c.sends = true;
}

void accept_one(int listener) {
  io_uring_sqe* entry = next_entry();
  io_uring_prep_accept(entry, listener, nullptr, nullptr, 0);
  io_uring_sqe_set_data(entry, nullptr);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  const int listener = listen_on(argv[1]);
  if (listener < 0) return 1;
  io_uring_params how{};
  how.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
  if (io_uring_queue_init_params(1024, &ring, &how) != 0) return 1;
  accept_one(listener);
  for (;;) {
    io_uring_submit_and_wait(&ring, 1);
    unsigned head, seen = 0;
    io_uring_cqe* answer;
    io_uring_for_each_cqe(&ring, head, answer) {
      ++seen;
      auto* c = static_cast<connection*>(io_uring_cqe_get_data(answer));
      if (c == nullptr) {
        if (answer->res >= 0) receive(*new connection{answer->res, false, {}});
        accept_one(listener);
      } else if (c->sends) {
        receive(*c);
      } else if (answer->res > 0) {
        send(*c, answer->res);
      } else {
        close(c->descriptor);
        delete c;
      }
    }
    io_uring_cq_advance(&ring, seen);
  }
}
