#pragma once
#include <ringo/ringo.hpp>

ringo::task<> doubler(ringo::receiver<int> in, ringo::sender<int> out);
