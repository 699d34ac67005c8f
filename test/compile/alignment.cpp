// A pipeline's stage keeps values in coroutine frames, which are not aligned for all types: what needs more is boxed.
// refused 1: [Bb]ox
// refused 2: [Bb]ox
// refused 3: [Bb]ox
// refused 4: [Bb]ox
// refused 5: [Bb]ox
// refused 6: [Bb]ox
// refused 7: [Bb]ox
#include <ringo/ringo.hpp>

#include <chrono>
#include <memory>
#include <utility>
#include <vector>

using namespace ringo;

struct alignas(64) wide {
  int number = 0;
};

void makes_stages(receiver<wide> wides, receiver<std::unique_ptr<wide>> boxed, receiver<int> numbers) {
#if REFUSED == 1
  map(std::move(wides), 1, [](wide w) { return w.number; });
#elif REFUSED == 2
  map(std::move(numbers), 1, [](int n) { return wide{n}; });
#elif REFUSED == 3
  merge(wides, wides);
#elif REFUSED == 4
  batch(std::move(wides), 2, std::chrono::seconds(1));
#elif REFUSED == 5
  tee(std::move(wides), 2);
#elif REFUSED == 6
  take(std::move(wides), 2);
#elif REFUSED == 7
  generate(std::vector<wide>(3));
#else
  map(std::move(boxed), 1, [](std::unique_ptr<wide> w) { return w->number; });
  merge(boxed, boxed);
  batch(boxed, 2, std::chrono::seconds(1));
  take(boxed, 2);
#endif
}
