// Compiles the header that the tests share (CMakeLists.txt), and nothing else.
