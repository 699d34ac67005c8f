#error "ringo without RINGO_URING includes liburing"
