// A sender only sends and closes, a receiver only receives, and neither turns into the other or back into a channel.
// refused 1: send.* is (inaccessible|a private member)
// refused 2: recv.* is (inaccessible|a private member)
// refused 3: close.* is (inaccessible|a private member)
// refused 4: sender<int>
// refused 5: receiver<int>
// refused 6: channel<int>
#include <ringo/ringo.hpp>

using namespace ringo;

task<> directions(channel<int> both) {
  sender<int> in = both;
  receiver<int> out = both;
#if REFUSED == 1
  co_await out.send(1);
#elif REFUSED == 2
  co_await in.recv();
#elif REFUSED == 3
  out.close();
#elif REFUSED == 4
  sender<int> turned = out;
#elif REFUSED == 5
  receiver<int> turned = in;
#elif REFUSED == 6
  channel<int> turned = in;
#else
  co_await in.send(1);
  co_await out.recv();
  in.close();
#endif
}
