// Keys and certificates for the tests of TLS.
#pragma once

#include <doctest/doctest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <ringo/tls.hpp>
#include <span>
#include <string>
#include <string_view>

// A certificate that trusts itself, for localhost, 127.0.0.1 and fe80::1, in files that go with it.
class certificate {
 public:
  explicit certificate(const std::string& name = "tls") : base(in_temporary_folder(name)) {
    const std::unique_ptr<EVP_PKEY, decltype(&::EVP_PKEY_free)> key(::EVP_EC_gen("P-256"), ::EVP_PKEY_free);
    const std::unique_ptr<X509, decltype(&::X509_free)> made(::X509_new(), ::X509_free);
    ::X509_set_version(made.get(), 2);
    ::ASN1_INTEGER_set(::X509_get_serialNumber(made.get()), 1);
    ::X509_gmtime_adj(::X509_getm_notBefore(made.get()), -3600);
    ::X509_gmtime_adj(::X509_getm_notAfter(made.get()), 24 * 3600);
    ::X509_set_pubkey(made.get(), key.get());
    X509_NAME* subject = ::X509_get_subject_name(made.get());
    ::X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("ringo"), -1, -1,
                                 0);
    ::X509_set_issuer_name(made.get(), subject);
    X509_EXTENSION* names =
        ::X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1,IP:fe80::1");
    ::X509_add_ext(made.get(), names, -1);
    ::X509_EXTENSION_free(names);
    REQUIRE(::X509_sign(made.get(), key.get(), ::EVP_sha256()) != 0);
    std::FILE* file = std::fopen(certificate_file.c_str(), "w");
    REQUIRE(file != nullptr);
    ::PEM_write_X509(file, made.get());
    std::fclose(file);
    file = std::fopen(key_file.c_str(), "w");
    REQUIRE(file != nullptr);
    ::PEM_write_PrivateKey(file, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
    std::fclose(file);
  }
  certificate(const certificate&) = delete;
  certificate& operator=(const certificate&) = delete;
  ~certificate() {
    std::filesystem::remove(certificate_file);
    std::filesystem::remove(key_file);
  }

  ringo::tls_context server(std::span<const std::string_view> alpn = {}, bool verify = false) const {
    ringo::tls_options o;
    o.certificate_file = certificate_file;
    o.key_file = key_file;
    o.alpn = alpn;
    o.verify_client = verify;
    o.trust_file = certificate_file;
    return ringo::tls_context::server(o);
  }
  ringo::tls_context client(std::span<const std::string_view> alpn = {}, bool with_certificate = false) const {
    ringo::tls_options o;
    o.trust_file = certificate_file;
    o.alpn = alpn;
    if (with_certificate) {
      o.certificate_file = certificate_file;
      o.key_file = key_file;
    }
    return ringo::tls_context::client(o);
  }

  const std::string base;
  const std::string certificate_file = base + ".pem", key_file = base + ".key";

 private:
  static std::string in_temporary_folder(const std::string& name) {
    return (std::filesystem::temp_directory_path() / ("ringo_test_" + name + '_')).string() +
           std::to_string(::getpid());
  }
};

inline const certificate& own() {
  static const certificate made;
  return made;
}
